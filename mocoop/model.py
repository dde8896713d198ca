"""The mixture of prompts: text features per expert, a router, and mixed logits.

CoOp is a setting of it: one expert, no gate, no correction vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.backbone import Backbone
from mocoop.config import TrainConfig, uses_single_prompt
from mocoop.packing import ClassTokens
from mocoop.prompts import SoftPrompts
from mocoop.router import top_weights
from mocoop.templates import Groups, TemplateSet
from mocoop.text import TextTower


@dataclass(frozen=True)
class Mixture:
    """What the model says of a batch of images."""

    scores: Tensor  # (batch, experts), the router's scores; zeros with one expert
    weights: Tensor  # (batch, experts), zero for experts not chosen
    expert_logits: Tensor  # (batch, experts, classes), scaled by the logit scale
    logits: Tensor  # (batch, classes), the weighted sum over experts


class PromptMixture(nn.Module):
    """Soft prompts of all experts with their router, over a frozen CLIP.

    Args:
        prompts: the experts' context tokens.
        gate: router from image feature to expert scores; None with one expert.
        correction: vector (dim,) added to all text features; None without.
        logit_scale: the frozen CLIP's scale.
        num_chosen: K, experts per image.
    """

    def __init__(
        self,
        prompts: SoftPrompts,
        gate: nn.Linear | None,
        correction: nn.Parameter | None,
        logit_scale: float,
        num_chosen: int,
    ) -> None:
        super().__init__()
        self.prompts = prompts
        self.gate = gate
        self.correction = correction
        self.logit_scale = logit_scale
        self.num_chosen = num_chosen

    def text_features(self, tower: TextTower, classes: ClassTokens) -> Tensor:
        """Returns `soft`: L2-normalised text features, (experts, classes, dim), fp32."""
        features = self.prompts(tower, classes).float()
        if self.correction is not None:
            features = features + self.correction
        return F.normalize(features, dim=-1)

    def forward(self, image_features: Tensor, soft: Tensor) -> Mixture:
        """Returns the mixture's logits and how they came about.

        Args:
            image_features: (batch, dim), L2-normalised.
            soft: (experts, classes, dim), from `text_features`.
        """
        return mix(image_features, soft, self.gate, self.logit_scale, self.num_chosen)


def mix(
    image_features: Tensor,
    soft: Tensor,
    gate: nn.Linear | None,
    logit_scale: float,
    num_chosen: int,
) -> Mixture:
    """Returns the mixture of the experts' logits that the gate chooses for each image.

    `s * sum_k a_k <f, soft[g_k, c]>`: linear in the text features, so that the experts'
    logits are weighted and the mixed text feature is never built (nor renormalised).
    """
    expert_logits = logit_scale * torch.einsum("bd,gcd->bgc", image_features, soft)
    if gate is None:
        scores = image_features.new_zeros(len(image_features), len(soft))
    else:
        scores = gate(image_features)
    weights = top_weights(scores, num_chosen)
    logits = torch.einsum("bg,bgc->bc", weights, expert_logits)
    return Mixture(scores, weights, expert_logits, logits)


def build_model(
    config: TrainConfig, backbone: Backbone, groups: Groups, generator: torch.Generator
) -> PromptMixture:
    """Returns an untrained model on the backbone's device; the one place of assembly.

    Args:
        config: the run's settings.
        backbone: the frozen CLIP.
        groups: groups of templates, one expert each, as `expert_groups` gives them.
        generator: draws the gate's first weights; a CPU generator.

    Raises:
        UserError: if more experts are to be chosen than there are.
    """
    config.check_num_chosen(len(groups))
    first = [templates[0] for templates in groups.values()]
    prompts = SoftPrompts(backbone.text, first, config.learn_after)
    dim = backbone.text.projection(prompts.before[0].new_zeros(1, backbone.text.width)).shape[-1]
    gate = None
    if len(groups) > 1:
        gate = nn.utils.skip_init(nn.Linear, dim, len(groups))
        bound = 1 / math.sqrt(dim)  # the range of nn.Linear's own initialisation
        with torch.no_grad():
            gate.weight.uniform_(-bound, bound, generator=generator)
            gate.bias.uniform_(-bound, bound, generator=generator)
    correction = nn.Parameter(torch.zeros(dim)) if config.correction else None
    model = PromptMixture(prompts, gate, correction, backbone.logit_scale, config.num_chosen)
    return model.to(backbone.device)


def expert_groups(config: TrainConfig, templates: TemplateSet) -> Groups:
    """Returns the groups of templates that the run's experts start from."""
    if config.groups is not None:
        return config.groups
    if uses_single_prompt(config.method):
        return {"prompt": (templates.zero_shot,)}
    return templates.groups


@torch.no_grad()
def hard_features(tower: TextTower, groups: Groups, class_names: Sequence[str]) -> list[Tensor]:
    """Returns each group's hard prompt features, (templates, classes, dim), normalised."""
    return [
        torch.stack([tower.encode_template(template, class_names) for template in templates])
        for templates in groups.values()
    ]


def group_prototypes(hard: Sequence[Tensor]) -> Tensor:
    """Returns the normalised mean of each group's features, (groups, classes, dim)."""
    return torch.stack([F.normalize(features.mean(dim=0), dim=-1) for features in hard])

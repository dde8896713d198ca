"""The mixture of prompts: text features per expert, a router, and mixed logits.

CoOp and its kin are settings of it: one expert, no gate, no correction vector.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.clip.backbone import Backbone
from mocoop.clip.device import tower_dtype
from mocoop.clip.image_layer_norms import ImageNorms
from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.router import top_weights
from mocoop.model.soft_prompts import MetaNet, SoftPrompts, linear, starts
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.templates import Groups


@dataclass(frozen=True)
class Mixture:
    """What the model says of a batch of images."""

    scores: Tensor  # (batch, experts), the router's scores; zeros with one expert
    weights: Tensor  # (batch, experts), zero for experts not chosen
    expert_logits: Tensor  # (batch, experts, classes), scaled by the logit scale
    logits: Tensor  # (batch, classes), the weighted sum over experts


IMAGES_AT_ONCE = 32  # whose own prompts a conditional context encodes together


class PromptMixture(nn.Module):
    """Soft prompts of all experts with their router, over a frozen CLIP.

    Args:
        prompts: the experts' context tokens.
        gate: router from image feature to expert scores; None with one expert.
        correction: vector (dim,) added to all text features; None without.
        logit_scale: the frozen CLIP's scale.
        num_chosen: K, experts per image.
        shift: what an image adds to the one expert's context; None without.
        norms: trained LayerNorms of the image tower; None where it is frozen.
        precision: dtype inside the towers; fp32 switches autocast off.
    """

    def __init__(
        self,
        prompts: SoftPrompts,
        gate: nn.Linear | None,
        correction: nn.Parameter | None,
        logit_scale: float,
        num_chosen: int,
        shift: MetaNet | None = None,
        norms: ImageNorms | None = None,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.prompts = prompts
        self.gate = gate
        self.correction = correction
        self.logit_scale = logit_scale
        self.num_chosen = num_chosen
        self.shift = shift
        self.norms = norms
        self.precision = precision

    def text_features(
        self, tower: TextTower, classes: ClassTokens, image_features: Tensor | None = None
    ) -> Tensor:
        """Returns `soft`: L2-normalised text features, (experts, classes, dim), fp32.

        With a conditional context and image features (images, dim), the images take the place
        of the experts; without them it is the context that no image has changed.
        """
        shift = None
        if self.shift is not None and image_features is not None:
            shift = self.shift(image_features)  # (images, width)
        with self.towers():
            features = self.prompts(tower, classes, shift)
        features = features.float()
        if self.correction is not None:
            features = features + self.correction
        return F.normalize(features, dim=-1)

    def image_features(self, tower: nn.Module, images: Tensor) -> Tensor:
        """Returns L2-normalised features (batch, dim), fp32, of transformed images.

        Gradients reach the trained LayerNorms, where there are any.
        """
        with self.towers():
            features = tower(images) if self.norms is None else self.norms(tower, images)
        return F.normalize(features.float(), dim=-1)

    def towers(self) -> AbstractContextManager:
        """Returns the context in which the towers run: autocast, or plain fp32."""
        device = next(self.prompts.parameters()).device.type
        return torch.autocast(device, self.precision, enabled=self.precision != torch.float32)

    def forward(self, image_features: Tensor, soft: Tensor) -> Mixture:
        """Returns the mixture's logits and how they came about.

        Args:
            image_features: (batch, dim), L2-normalised.
            soft: (experts, classes, dim), from `text_features`; (batch, classes, dim) with a
                conditional context.
        """
        if self.shift is not None:
            return mix_conditional(image_features, soft, self.logit_scale)
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


def mix_conditional(image_features: Tensor, soft: Tensor, logit_scale: float) -> Mixture:
    """Returns the logits of images (batch, dim) that each have text features of their own.

    Args:
        image_features: (batch, dim), L2-normalised.
        soft: (batch, classes, dim), L2-normalised.
        logit_scale: the frozen CLIP's scale.
    """
    logits = logit_scale * torch.einsum("bd,bcd->bc", image_features, soft)
    scores = image_features.new_zeros(len(image_features), 1)
    return Mixture(scores, torch.ones_like(scores), logits[:, None], logits)


def build_model(
    config: TrainConfig,
    backbone: Backbone,
    groups: Groups,
    generator: torch.Generator,
    num_classes: int | None = None,
) -> PromptMixture:
    """Returns an untrained model on the backbone's device; the one place of assembly.

    Args:
        config: the run's settings.
        backbone: the frozen CLIP.
        groups: groups of templates, one expert each, as `expert_groups` gives them.
        generator: draws the first weights; a CPU generator.
        num_classes: how many classes are trained; needed for class-specific contexts.

    Raises:
        UserError: for more experts to be chosen than there are, a conditional context of
            several experts, or an image tower without the LayerNorms that are to be trained.
    """
    config.check_num_chosen(len(groups))
    if config.conditional and len(groups) > 1:
        raise UserError(
            f"A conditional context is one prompt that changes with every image, but there are "
            f"{len(groups)} groups of templates. Give one group."
        )
    tower = backbone.text
    begin = starts(config, tower, groups, generator)
    prompts = SoftPrompts(begin, num_classes if config.class_context else None)
    gate = linear(tower.dim, len(groups), generator) if len(groups) > 1 else None
    model = PromptMixture(
        prompts,
        gate,
        nn.Parameter(torch.zeros(tower.dim)) if config.correction else None,
        backbone.logit_scale,
        config.num_chosen,
        MetaNet(tower.dim, tower.width, generator) if config.conditional else None,
        ImageNorms.from_tower(backbone.model.visual) if config.tune_layer_norms else None,
        tower_dtype(config.precision, backbone.device),
    )
    return model.to(backbone.device)


@torch.no_grad()
def predict(
    model: PromptMixture, tower: TextTower, classes: ClassTokens, features: Tensor
) -> Mixture:
    """Returns what the model says of image features (images, dim) among some classes."""
    if model.shift is None:
        return model(features, model.text_features(tower, classes))
    parts = [
        model(part, model.text_features(tower, classes, part))
        for part in features.split(IMAGES_AT_ONCE)
    ]
    return Mixture(
        torch.cat([part.scores for part in parts]),
        torch.cat([part.weights for part in parts]),
        torch.cat([part.expert_logits for part in parts]),
        torch.cat([part.logits for part in parts]),
    )

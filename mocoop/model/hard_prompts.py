"""Features of the groups' hard prompts, their prototypes, and the targets of the text loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from open_clip import OPENAI_IMAGENET_TEMPLATES
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.method_record import TEMPLATES
from mocoop.methods import METHODS
from mocoop.prompt_encoder.layout import filled_tokens
from mocoop.templates import SLOT, Groups, TemplateSet, load_templates

IMAGENET_60 = tuple(template(SLOT) for template in OPENAI_IMAGENET_TEMPLATES[:60])
"""The templates of PromptSRC's code: the first 60 of OpenAI's 80 for ImageNet."""


@dataclass(frozen=True)
class HardText:
    """Hard prompt features for the losses; the classes are those of the text loss."""

    prototypes: Tensor  # (experts, classes, dim), each group's normalised mean
    anchors: Tensor  # (experts, classes, dim), each group's first template
    targets: Tensor  # (targets, classes, dim), with which the text loss compares
    owner: Tensor  # (targets,), each target's expert
    frozen: Tensor | None = None
    """(classes, dim), from `frozen_text`; None if no loss compares with it."""

    @classmethod
    def from_features(
        cls, hard: tuple[Tensor, ...], prototypes: Tensor, every_template: bool
    ) -> HardText:
        """Returns the hard prompt features of all groups.

        Args:
            hard: one tensor per expert, (templates, classes, dim).
            prototypes: (experts, classes, dim).
            every_template: whether the text loss compares with every template instead of the
                prototypes.
        """
        anchors = torch.stack([features[0] for features in hard])
        if not every_template:
            return cls(prototypes, anchors, prototypes, torch.arange(len(hard)))
        sizes = torch.tensor([len(features) for features in hard])
        owner = torch.arange(len(hard)).repeat_interleave(sizes)
        return cls(prototypes, anchors, torch.cat(list(hard)), owner)

    def to(self, device: torch.device) -> HardText:
        """Returns the same features on a device."""
        return HardText(
            self.prototypes.to(device),
            self.anchors.to(device),
            self.targets.to(device),
            self.owner.to(device),
            None if self.frozen is None else self.frozen.to(device),
        )


def expert_groups(config: TrainConfig, templates: TemplateSet) -> Groups:
    """Returns the groups of templates of a run, one per expert.

    A mixture has the data set's groups. A single prompt has one group with the data set's plain
    template; if the text loss compares with all templates (LASP), all others follow it, or
    LASP's own templates stand in for them.
    """
    if config.groups is not None:
        return config.groups
    method = METHODS[config.method]
    if method.is_mixture:
        return templates.groups
    if config.text_target == "templates" and config.text_templates == "fixed":
        return load_templates("lasp").groups
    if config.text_target == "templates" or method.classifier == TEMPLATES:
        return {"prompt": every_template(templates)}
    return {"prompt": (templates.zero_shot,)}


@torch.no_grad()
def hard_features(tower: TextTower, groups: Groups, class_names: Sequence[str]) -> list[Tensor]:
    """Returns each group's hard prompt features, (templates, classes, dim), L2-normalised."""
    return [
        torch.stack([tower.encode_template(template, class_names) for template in templates])
        for templates in groups.values()
    ]


@torch.no_grad()
def frozen_text(
    config: TrainConfig, tower: TextTower, templates: TemplateSet, class_names: Sequence[str]
) -> Tensor:
    """Returns the frozen text features (classes, dim) of the consistency losses, L2-normalised.

    PromptSRC's code (arXiv 2307.06948) averages the features of 60 templates before it normalises
    them; CLIP's usual ensemble normalises first.

    Args:
        config: gives `consistency_templates` and `consistency_mean`.
        tower: the frozen text tower.
        templates: the data set's templates.
        class_names: the names of the classes.
    """
    own = config.consistency_templates == "own"
    total = torch.zeros(())
    for template in every_template(templates) if own else IMAGENET_60:
        tokens = filled_tokens(tower.tokens, template, class_names)
        features = tower.encode_tokens(tokens).float()
        if config.consistency_mean == "unit":
            features = F.normalize(features, dim=-1)
        total = total.to(features.device) + features
    return F.normalize(total, dim=-1)


def every_template(templates: TemplateSet) -> tuple[str, ...]:
    """Returns all templates of a data set, the plain one first."""
    every = (template for group in templates.groups.values() for template in group)
    return tuple(dict.fromkeys((templates.zero_shot, *every)))


def group_prototypes(hard: Sequence[Tensor]) -> Tensor:
    """Returns the L2-normalised mean of each group's features, (groups, classes, dim)."""
    return torch.stack([F.normalize(features.mean(dim=0), dim=-1) for features in hard])

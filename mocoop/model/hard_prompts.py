"""What the hard prompts of the groups give: their features, prototypes and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.method_record import TEMPLATES
from mocoop.methods import METHODS
from mocoop.templates import Groups, TemplateSet


@dataclass(frozen=True)
class HardText:
    """Hard prompts as the losses need them; classes are those of the text loss."""

    prototypes: Tensor  # (experts, classes, dim), each group's normalised mean
    anchors: Tensor  # (experts, classes, dim), each group's first template
    targets: Tensor  # (targets, classes, dim), what the text loss compares with
    owner: Tensor  # (targets,), each target's expert

    @classmethod
    def from_features(
        cls, hard: tuple[Tensor, ...], prototypes: Tensor, every_template: bool
    ) -> HardText:
        """Returns the hard prompts of all groups.

        Args:
            hard: per expert (templates, classes, dim).
            prototypes: (experts, classes, dim).
            every_template: compare with every template instead of the prototypes.
        """
        anchors = torch.stack([features[0] for features in hard])
        if not every_template:
            return cls(prototypes, anchors, prototypes, torch.arange(len(hard)))
        sizes = torch.tensor([len(features) for features in hard])
        owner = torch.arange(len(hard)).repeat_interleave(sizes)
        return cls(prototypes, anchors, torch.cat(list(hard)), owner)

    def to(self, device: torch.device) -> HardText:
        """Returns the same on a device."""
        return HardText(
            self.prototypes.to(device),
            self.anchors.to(device),
            self.targets.to(device),
            self.owner.to(device),
        )


def expert_groups(config: TrainConfig, templates: TemplateSet) -> Groups:
    """Returns the groups of templates that the run's experts start from.

    Mixtures take the data set's groups; single prompts its plain template, followed, where a
    text loss compares with all templates (LASP), by all others.
    """
    if config.groups is not None:
        return config.groups
    method = METHODS[config.method]
    if method.is_mixture:
        return templates.groups
    if config.text_target == "templates" or method.classifier == TEMPLATES:
        every = (template for group in templates.groups.values() for template in group)
        return {"prompt": tuple(dict.fromkeys((templates.zero_shot, *every)))}
    return {"prompt": (templates.zero_shot,)}


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

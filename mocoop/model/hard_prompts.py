"""Features of the groups' hard prompts, their prototypes, and the targets of the text loss."""

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
from mocoop.templates import Groups, TemplateSet, load_templates


@dataclass(frozen=True)
class HardText:
    """Hard prompt features for the losses; the classes are those of the text loss."""

    prototypes: Tensor  # (experts, classes, dim), each group's normalised mean
    anchors: Tensor  # (experts, classes, dim), each group's first template
    targets: Tensor  # (targets, classes, dim), with which the text loss compares
    owner: Tensor  # (targets,), each target's expert

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
        every = (template for group in templates.groups.values() for template in group)
        return {"prompt": tuple(dict.fromkeys((templates.zero_shot, *every)))}
    return {"prompt": (templates.zero_shot,)}


@torch.no_grad()
def hard_features(tower: TextTower, groups: Groups, class_names: Sequence[str]) -> list[Tensor]:
    """Returns each group's hard prompt features, (templates, classes, dim), L2-normalised."""
    return [
        torch.stack([tower.encode_template(template, class_names) for template in templates])
        for templates in groups.values()
    ]


def group_prototypes(hard: Sequence[Tensor]) -> Tensor:
    """Returns the L2-normalised mean of each group's features, (groups, classes, dim)."""
    return torch.stack([F.normalize(features.mean(dim=0), dim=-1) for features in hard])

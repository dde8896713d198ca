"""From the form of the Train page to a TrainConfig."""

from __future__ import annotations

from dataclasses import replace

from mocoop.clip.backbone import check_backbone_name
from mocoop.config import TrainConfig
from mocoop.presets import preset
from mocoop.templates import Groups

SHOTS = (1, 2, 4, 8, 16)


def with_backbone(config: TrainConfig, backbone: str) -> TrainConfig:
    """Returns the method's preset for a CLIP, with data, shots, seed and classes as they are.

    Raises:
        UserError: for a CLIP that cannot be loaded, as its name alone tells.
    """
    check_backbone_name(backbone)
    return replace(
        preset(config.method, backbone),
        data=config.data,
        shots=config.shots,
        seed=config.seed,
        classes=config.classes,
    )


def with_groups(config: TrainConfig, groups: Groups, usual: Groups) -> TrainConfig:
    """Returns the settings with groups of templates, which are not named if they are usual.

    Raises:
        UserError: for fewer groups than experts per image.
    """
    return config if groups == usual else replace(config, groups=groups)

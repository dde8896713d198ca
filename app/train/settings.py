"""Functions that turn the form of the Train page into a TrainConfig."""

from __future__ import annotations

from dataclasses import replace

from mocoop.clip.backbone import check_backbone_name
from mocoop.config import TrainConfig
from mocoop.presets import preset
from mocoop.shots import ALL_SHOTS
from mocoop.templates import Groups

SHOTS = (1, 2, 4, 8, 16, ALL_SHOTS)


def with_backbone(config: TrainConfig, backbone: str) -> TrainConfig:
    """Returns the method's preset for a CLIP; data, shots, seed and classes do not change.

    Raises:
        UserError: if the name alone shows that the CLIP cannot be loaded.
    """
    check_backbone_name(backbone)
    return replace(
        preset(config.method, backbone, config.data),
        shots=config.shots,
        seed=config.seed,
        classes=config.classes,
    )


def with_groups(config: TrainConfig, groups: Groups, defaults: Groups) -> TrainConfig:
    """Returns the settings with groups of templates; the data set's own groups are left out.

    Raises:
        UserError: if there are fewer groups than experts per image.
    """
    return config if groups == defaults else replace(config, groups=groups)

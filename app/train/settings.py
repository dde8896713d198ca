"""Functions that turn the form of the Train page into a TrainConfig."""

from __future__ import annotations

from dataclasses import replace

from app.common import state
from mocoop.clip.backbone import check_backbone_name
from mocoop.clip.names import absolute_name
from mocoop.config import DEMO, TrainConfig
from mocoop.errors import UserError
from mocoop.evaluation.typed_prompt import EXAMPLE, typed_template
from mocoop.model.hard_prompts import expert_groups
from mocoop.model.learnable import check_learnable
from mocoop.presets import preset
from mocoop.protocols.lab import COOP
from mocoop.shots import ALL_SHOTS
from mocoop.templates import SLOT, Groups, TemplateSet

SHOTS = (1, 2, 4, 8, 16, ALL_SHOTS)


def setting_key(name: str, config: TrainConfig | None = None) -> str:
    """Returns the key of a less common setting's widget; with a config, one of its method's own.

    The published recipes have other defaults than the recipes for the demo CLIP.
    """
    if config is None:
        return f"{state.SETTING} {name}"
    recipe = DEMO if config.backbone == DEMO else "published"
    return f"{state.SETTING} {name} {config.method} {recipe}"


def overfitting() -> TrainConfig:
    """Returns settings that overfit to their few training images.

    On the built-in CLIP the training accuracy ends far above the validation accuracy, and the
    test accuracy of both halves below zero-shot, with each of the seeds 1, 2 and 3.
    """
    own = preset(COOP)
    return replace(
        own,
        data="albums",
        shots=1,
        classes="base",
        learning_rate=4 * own.learning_rate,
        epochs=2 * own.epochs,
    )


def is_overfitting(config: TrainConfig) -> bool:
    """Returns whether settings are those that overfit, with whatever seed."""
    return replace(config, seed=overfitting().seed) == overfitting()


def with_backbone(config: TrainConfig, backbone: str) -> TrainConfig:
    """Returns the method's preset for a CLIP; data, shots, seed and classes do not change.

    Raises:
        UserError: if the name alone shows that the CLIP cannot be loaded.
    """
    check_backbone_name(backbone)
    return replace(
        # Its process runs in another folder.
        preset(config.method, absolute_name(backbone), config.data),
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


def with_start(config: TrainConfig, sentence: str, templates: TemplateSet) -> TrainConfig:
    """Returns the settings of a method with one prompt that starts from a sentence.

    Where the text loss compares with hard templates, the sentence is one of them.

    Args:
        config: the settings; the method learns one prompt.
        sentence: a template, as typed.
        templates: those of the data set.

    Raises:
        UserError: if the sentence is no template, or the method cannot start from it.
    """
    start = typed_template(sentence)
    if config.text_templates == "fixed":
        # The templates are LASP's own, so the start is given as the words before the name.
        words = start.removesuffix(".").removesuffix(SLOT)
        if SLOT in words or not words.strip():
            raise UserError(
                f"Here LASP starts from words before the class name, as in '{EXAMPLE}'; got "
                f"'{start[:60]}'. Put {{}} at the end of the sentence."
            )
        return replace(
            config, context_init="words", context_words=words.strip(), name_position="end"
        )
    ((_, *others),) = expert_groups(replace(config, groups=None), templates).values()
    groups = {"prompt": tuple(dict.fromkeys((start, *others)))}
    changed = replace(config, groups=groups, context_init="template")
    check_learnable(changed, groups)
    return changed

"""The paper's ablations: variants of one method that change or leave out one part each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mocoop.config import TrainConfig
from mocoop.datasets import absolute_source, load_dataset
from mocoop.errors import UserError, choose_from
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.protocols.plans import Plan, Task, check, with_epochs
from mocoop.templates import Groups

Change = Callable[[TrainConfig, Groups], TrainConfig]
Fits = Callable[[TrainConfig], bool]


@dataclass(frozen=True)
class Variant:
    """One variant of an ablation."""

    name: str
    """The name on the command line."""
    label: str
    """The name in the table."""
    change: Change
    """Returns the variant's settings from the full method's settings and the data set's groups."""
    fits: Fits = lambda config: True
    """Whether a method with these settings has the part that the variant changes."""
    least_groups: int = 1
    """How many groups of templates the data set has to have."""


def _set(**changes: Any) -> Change:
    return lambda config, groups: replace(config, **changes)


def _one_group(config: TrainConfig, groups: Groups) -> TrainConfig:
    every = tuple(template for templates in groups.values() for template in templates)
    return replace(config, groups={"all": every}, num_chosen=1)


def _random_groups(config: TrainConfig, groups: Groups) -> TrainConfig:
    """Returns settings with groups of the same sizes whose templates are drawn at random.

    All templates are shuffled with the run's seed.
    """
    every = [template for templates in groups.values() for template in templates]
    random.Random(config.seed).shuffle(every)
    random_groups: dict[str, tuple[str, ...]] = {}
    for number, templates in enumerate(groups.values(), start=1):
        random_groups[f"random {number}"] = tuple(every[: len(templates)])
        every = every[len(templates) :]
    return replace(config, groups=random_groups)


def _all_chosen(config: TrainConfig, groups: Groups) -> TrainConfig:
    return replace(config, num_chosen=len(groups))


def _first_groups(count: int) -> Change:
    def change(config: TrainConfig, groups: Groups) -> TrainConfig:
        if len(groups) < count:
            raise UserError(
                f"The variant experts-{count} needs {count} groups of templates; the data set "
                f"has {len(groups)}. Leave this variant out."
            )
        return replace(config, groups=dict(list(groups.items())[:count]))

    return change


def _twice_as_deep(config: TrainConfig, groups: Groups) -> TrainConfig:
    return replace(config, vision_depth=2 * config.vision_depth)


def _averaged(config: TrainConfig, groups: Groups) -> TrainConfig:
    """PromptSRC's weights, whose mean is epoch 15 of 20, for any number of epochs."""
    mean, std = 0.75 * config.epochs, 0.05 * config.epochs
    return replace(config, aggregation="gaussian", aggregation_mean=mean, aggregation_std=std)


def _sees(config: TrainConfig) -> bool:
    return config.vision_depth > 0


def _sees_once(config: TrainConfig) -> bool:
    """Whether the image tower's own tokens can differ between experts in its last blocks."""
    return config.vision_depth > 0 and not config.compares_images


def _consistent(config: TrainConfig) -> bool:
    return config.image_consistency > 0


def _conditional(config: TrainConfig) -> bool:
    return config.conditional


VARIANTS = (
    Variant("full", "full (K = 2)", _set()),
    Variant("no-gate-loss", "without gating loss", _set(gate_weight=0.0)),
    Variant("no-text-loss", "without text supervision", _set(text_weight=0.0)),
    Variant("one-group", "one group, one expert", _one_group),
    Variant("random-groups", "random groups", _random_groups),
    Variant("k-1", "K = 1", _set(num_chosen=1)),
    Variant("k-all", "K = all", _all_chosen),
    Variant("experts-3", "first 3 experts", _first_groups(3), least_groups=3),
    Variant("experts-6", "first 6 experts", _first_groups(6), least_groups=6),
    Variant("tau-one", "text loss with τ = 1", _set(text_scale="one")),
    Variant("tau-logit", "text loss with τ = logit scale", _set(text_scale="logit")),
    Variant("all-names", "text loss on all class names", _set(text_classes="all")),
    Variant("gate-scaled", "gate learns scaled scores", _set(gate_target="scaled")),
    Variant("gate-soft", "gate learns from soft prompts", _set(gate_target="soft")),
    Variant("no-correction", "without correction vector", _set(correction=False)),
    Variant("no-vision", "without vision prompts", _set(vision_depth=0), _sees),
    Variant("vision-block-1", "vision prompts in the first block", _set(vision_depth=1), _sees),
    Variant("vision-deeper", "vision prompts in twice as many blocks", _twice_as_deep, _sees),
    Variant("vision-tokens-1", "one vision prompt per block", _set(vision_prompts=1), _sees),
    Variant("vision-keys", "vision prompts as keys only", _set(vision_insertion="keys"), _sees),
    Variant("router-tuned", "router sees vision prompts", _set(router_input="tuned"), _sees),
    Variant(
        "own-vision",
        "each expert has vision prompts of its own in the last block",
        _set(expert_vision_depth=1),
        _sees_once,
    ),
    Variant(
        "no-consistency",
        "without consistency losses",
        _set(image_consistency=0.0, logit_consistency=0.0),
        _consistent,
    ),
    Variant("averaged", "weights averaged over epochs", _averaged, _sees),
    Variant("no-shift", "contexts do not see the image", _set(conditional=False), _conditional),
    Variant(
        "own-shift", "each expert has its own shift", _set(shift_per_expert=True), _conditional
    ),
    Variant("deeper-texts", "learned tokens in two blocks", _set(text_depth=2), _conditional),
    Variant(
        "late-shift",
        "learned tokens in two blocks, shifted in the second",
        _set(text_depth=2, condition_from=1),
        _conditional,
    ),
)
NAMES = tuple(variant.name for variant in VARIANTS)


def ablation_tasks(
    data: Sequence[str],
    variants: Sequence[str] = (),
    method: str = "mocoop",
    shots: int = 16,
    seeds: Sequence[int] = (1, 2, 3),
    backbone: str = "demo",
    epochs: int | None = None,
) -> list[Task]:
    """Returns the runs of an ablation: every variant, few-shot and base-to-new.

    Args:
        data: data sets to train on.
        variants: names of `VARIANTS`; if empty, all that fit the method and, on each data set,
            its groups. The full method is always included.
        method: the mixture whose variants are compared, with its preset.
        shots: training images per class.
        seeds: one run per seed.
        backbone: the frozen CLIP.
        epochs: of every training; the method's own number if None.

    Raises:
        UserError: for an unknown variant, one that changes a part that the method does not have,
            a method that is not a mixture, or data that the protocols cannot use.
    """
    mixtures = [key for key, record in METHODS.items() if record.is_mixture]
    if method not in mixtures:
        raise UserError(
            f"An ablation needs a mixture: expected one of {', '.join(mixtures)}; got {method!r}."
        )
    fitting = {variant.name: variant for variant in VARIANTS if variant.fits(preset(method))}
    for name in variants:
        if name not in NAMES:
            raise choose_from("variant", name, NAMES)
        if name not in fitting:
            raise UserError(
                f"The variant {name} changes a part that {method} does not have. Expected one of "
                f"{', '.join(fitting)}."
            )
    for protocol in ("few-shot", "base-to-new"):
        check(
            Plan(
                protocol,
                tuple(data),
                (method,),
                (shots,),
                tuple(seeds),
                backbone,
                epochs=epochs,
            )
        )
    beginning = "" if method == mixtures[0] else f"{method}, "
    chosen = [v for v in fitting.values() if not variants or v.name in ("full", *variants)]
    tasks = []
    for name in map(absolute_source, data):
        groups = load_dataset(name).templates.groups
        usual = preset(method, backbone, name)
        full = with_epochs(usual, epochs)
        ending = "" if full == usual else f", epochs {full.epochs}"
        for variant in chosen:
            label = f"{beginning}{variant.label}{ending}"
            start = replace(full, shots=shots)
            if variants or len(groups) >= variant.least_groups:
                tasks += _runs(variant, label, start, groups, seeds)
    return tasks


def _runs(
    variant: Variant, label: str, start: TrainConfig, groups: Groups, seeds: Sequence[int]
) -> list[Task]:
    """Returns the runs of a variant on a data set: every seed, few-shot and base-to-new."""
    changed = [(seed, variant.change(replace(start, seed=seed), groups)) for seed in seeds]
    return [
        Task("ablation", label, replace(config, classes=classes), config.shots, (seed,))
        for seed, config in changed
        for classes in ("all", "base")
    ]

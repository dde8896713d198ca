"""The answers of finished runs and of zero-shot to the same test images."""

from __future__ import annotations

from collections.abc import Mapping

from mocoop.classifiers.hard import hard_classifier
from mocoop.classifiers.saved import check_same_data, open_classifier, run_encoder, run_features
from mocoop.clip.backbone import Backbone, load_backbone
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import route_items
from mocoop.evaluation.side_by_side import (
    Answers,
    SideBySide,
    common_choices,
    comparable,
    line_up,
)
from mocoop.features.cache import FeatureCache
from mocoop.methods import METHODS
from mocoop.model.hard_prompts import expert_groups
from mocoop.presets import preset
from mocoop.runs.run import Run


def same_images(runs: Mapping[str, Run]) -> tuple[SideBySide | None, list[str]]:
    """Returns the answers of runs and of zero-shot to the same images, and what is left out.

    None if nothing can be compared, for example because the data are not here.

    Args:
        runs: name → a finished run.

    Raises:
        UserError: for a run that was deleted or is damaged.
    """
    setups = {name: run.setup() for name, run in runs.items()}
    kept, notes = comparable(setups)
    choice = common_choices([setups[name] for name in kept])[0]
    found: dict[str, Answers] = {}
    clips: dict[str, Backbone] = {}
    for name in kept:
        config = setups[name].config
        try:
            if config.backbone not in clips:
                clips[config.backbone] = load_backbone(config.backbone, "auto")
            clip, dataset = clips[config.backbone], load_dataset(config.data)
            check_same_data(runs[name], setups[name], dataset, clip)
            encoder = run_encoder(runs[name], clip)
            cache = run_features(runs[name], encoder)
            classifier = open_classifier(runs[name], loaded=clip)
            found[name] = Answers.of(route_items(classifier, dataset, cache, choice))
        except UserError as error:
            notes.append(f"{name} is not compared image by image: {error}")
    if not found:
        return None, notes
    first = setups[next(iter(found))].config
    plain = next(key for key, method in METHODS.items() if method.is_plain_prompt)
    dataset, clip = load_dataset(first.data), clips[first.backbone]
    (templates,) = expert_groups(preset(plain), dataset.templates).values()
    untrained = hard_classifier(clip, dataset.class_names, templates)
    label = METHODS[plain].label
    label = label if label not in found else f"{label} (no run)"
    found[label] = Answers.of(route_items(untrained, dataset, FeatureCache(clip), choice))
    return line_up(found), notes

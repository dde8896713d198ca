"""Keys of what a run is made from beside its settings and CLIP: its templates and images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mocoop.config import GIVEN, TrainConfig
from mocoop.datasets.base import Dataset
from mocoop.datasets.splits import few_shot_items
from mocoop.features.image_keys import ImageKeys, digest
from mocoop.model.hard_prompts import every_template, expert_groups
from mocoop.training.prepare import Prepared

TEMPLATES = "templates"


def input_keys(config: TrainConfig, dataset: Dataset, images: ImageKeys) -> dict[str, str]:
    """Returns part → key, of all that a run with these settings would be made from.

    Raises:
        UserError: for settings that do not fit the data.
    """
    train, val = few_shot_items(config, dataset)
    return {
        TEMPLATES: digest(_templates(config, dataset)),
        "training images": images.of_items(dataset, train),
        "validation images": images.of_items(dataset, val),
        "test images": images.of_test(dataset),
    }


def inputs_of(
    prepared: Prepared, folder: Path | None, earlier: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Returns part → key, of what a run is made from; empty for images that a program passed.

    Args:
        prepared: the inputs of the run.
        folder: the cache folder; the default one if None.
        earlier: the keys that a stopped run has, if it goes on.
    """
    if prepared.config.data == GIVEN:
        return {}
    found = input_keys(prepared.config, prepared.dataset, ImageKeys(folder))
    if earlier is not None and prepared.config.num_experts == "auto":
        # Its settings now name the groups that were chosen, no longer those it began with.
        del found[TEMPLATES]
        found |= {part: key for part, key in earlier.items() if part == TEMPLATES}
    return found


def _templates(config: TrainConfig, dataset: Dataset) -> list[object]:
    """Returns all templates on which a run depends."""
    templates = dataset.templates
    compared = every_template(templates) if config.compares_texts else ()
    groups = expert_groups(config, templates)
    return [list(groups.items()), templates.zero_shot, compared]

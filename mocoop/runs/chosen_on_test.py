"""What a run chose on images that it is tested on, where validation images are test images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mocoop.config import TrainConfig
from mocoop.methods import METHODS

KEY = "val_is_test"
"""In a run's results: whether validation images of its data set are test images too."""
_EXPERTS = "The experts"  # a new training refuses to choose them there
_BEFORE = ("imagenet",)  # sets that are so, for runs of before it was written down


def shares_images(config: TrainConfig, results: Mapping[str, Any]) -> bool:
    """Returns whether validation images of a run's data set are test images too."""
    return bool(results.get(KEY, config.data in _BEFORE))


def chosen_on_test(config: TrainConfig, results: Mapping[str, Any]) -> str:
    """Returns what a run's method chose on test images, in words; empty where it chose nothing.

    Args:
        config: the run's settings.
        results: the whole of its results.

    >>> from mocoop.presets import settings_from
    >>> chosen_on_test(settings_from({"method": "tip-adapter", "data": "imagenet"}), {})
    'α and β'
    """
    if not shares_images(config, results):
        return ""
    return METHODS[config.method].chooses or (_EXPERTS if config.num_experts == "auto" else "")


def in_words(chosen: str) -> str:
    """Returns a sentence that says so, for people.

    >>> in_words("α and β")
    'α and β were chosen on validation images that are the test images: the numbers are too good.'
    """
    verb = "were" if " and " in chosen or chosen == _EXPERTS else "was"
    return (
        f"{chosen} {verb} chosen on validation images that are the test images: the numbers are "
        "too good."
    )

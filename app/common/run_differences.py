"""In which settings, besides the method, some runs differ: for their labels and for a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from app.common.methods import method_name
from app.common.words import images_per_class
from mocoop.config import TrainConfig
from mocoop.presets import differences

_IN_WORDS: dict[str, Callable[[Any], str]] = {
    "shots": images_per_class,
    "seed": lambda seed: f"seed {seed}",
    "classes": lambda classes: f"{classes} classes",
    "style": lambda style: f"{style} only" if style else "every style",
    "backbone": str,
}
"""Setting of every run → its value in words."""


def differing_settings(configs: Mapping[str, TrainConfig]) -> dict[str, dict[str, str]]:
    """Returns setting → name of a run → its value in words, for settings that are not all alike.

    Settings of a preset count where a run has another value than its method's preset.

    Args:
        configs: name of a run → its settings.
    """
    found = {}
    for setting, in_words in _IN_WORDS.items():
        values = {name: in_words(getattr(config, setting)) for name, config in configs.items()}
        if len(set(values.values())) > 1:
            found[setting] = values
    changed = {name: differences(config) for name, config in configs.items()}
    for setting in dict.fromkeys(key for own in changed.values() for key in own):
        called = setting.replace("_", " ")
        values = {
            name: f"{called} {own[setting]}" for name, own in changed.items() if setting in own
        }
        if len(values) < len(configs) or len(set(values.values())) > 1:
            found[setting] = values
    return found


def short_labels(configs: Mapping[str, TrainConfig]) -> dict[str, str]:
    """Returns name of a run → its method, with all settings in which the runs differ.

    All labels differ: where the rest is equal, the run's name follows.
    """
    differing = differing_settings(configs).values()
    labels = {}
    for name, config in configs.items():
        parts = [values[name] for values in differing if name in values]
        labels[name] = method_name(config) + (f" ({', '.join(parts)})" if parts else "")
    counts = Counter(labels.values())
    return {
        name: label if counts[label] == 1 else f"{label} · {name}"
        for name, label in labels.items()
    }

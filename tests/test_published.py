"""Published recipes beside ours: every method with a recipe, read from its preset."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mocoop.config import TrainConfig
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.published import SAME, compared, families
from mocoop.published_settings import PUBLISHED

OTHER = "ViT-B-16-quickgelu/openai"
SETTINGS = {field.name for field in fields(TrainConfig)}
WITH_RECIPE = [key for key, method in METHODS.items() if method.published.settings]


@pytest.mark.parametrize("key", WITH_RECIPE)
def test_lines_are_read_from_the_preset(key):
    """A setting that is the same has the published value, and another one shows its own."""
    config = preset(key, OTHER)
    lines = {line.setting.strip("`"): line for line in compared(METHODS[key])}
    rows = {row.setting: row for row in PUBLISHED[METHODS[key].paper]}
    assert set(lines) <= set(rows)
    for name, line in lines.items():
        row = rows[name]
        assert line.source
        assert line.published
        if name in SETTINGS and not row.ours:
            assert type(row.value) is type(getattr(config, name))
            equal = row.value == getattr(config, name) and not row.except_on
            assert (line.ours == SAME) == equal


@pytest.mark.parametrize("key", WITH_RECIPE)
def test_no_setting_of_a_recipe_is_left_out(key):
    """What a preset changes for other CLIPs has a line, in words at least."""
    named = {row.setting for row in PUBLISHED[METHODS[key].paper]}
    in_words = {"context_init", "precision", "image_cache"}
    recipe = {name for name, value in METHODS[key].published.settings.items()}
    assert recipe <= named | in_words


def test_methods_of_one_paper_are_together():
    found = {
        first.key: [method.key for method in own] for first, own in families(METHODS.values())
    }
    assert found["lasp"] == ["lasp", "lasp-v", "lasp-ln", "lasp-v-ln"]
    assert found["tip-adapter"] == ["tip-adapter", "tip-adapter-f"]
    assert all(found[key] == [key] for key in ("taskres", "clip-adapter", "lp++"))
    assert sum(map(len, found.values())) == len(WITH_RECIPE)


def test_maple_from_imagenet_to_other_sets():
    """Its own recipe for other data sets and domains is told, and not said to be ours."""
    lines = {line.setting.strip("`"): line for line in compared(METHODS["maple"])}
    for name, value in (
        ("text_depth", "3"), ("vision_depth", "3"), ("learning_rate", "0.0026"), ("epochs", "2"),
    ):  # fmt: skip
        assert f"MaPLe: {value} in runs from ImageNet to other sets" in lines[name].published
        assert lines[name].ours.endswith("everywhere")


def test_lines_that_only_concern_training():
    """Tip-Adapter without training has no epochs, and zero-shot has no recipe."""
    assert "`epochs`" not in {line.setting for line in compared(METHODS["tip-adapter"])}
    assert "`epochs`" in {line.setting for line in compared(METHODS["tip-adapter-f"])}
    assert compared(METHODS["zero-shot"]) == []


def test_a_value_with_exceptions_is_ours_everywhere():
    lines = {line.setting: line for line in compared(METHODS["lasp"])}
    assert lines["`text_weight`"].published == "5 (10 on three sets)"
    assert lines["`text_weight`"].ours == "5 everywhere"
    assert lines["`text_classes`"].ours == "seen"
    assert lines["`drop_last`"].ours == SAME

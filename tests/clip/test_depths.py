"""The number of blocks in a CLIP's towers, without loading it."""

from __future__ import annotations

import json

import pytest

from mocoop.clip.depths import tower_depths


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("demo", (3, 6)),
        ("ViT-B-16-quickgelu/openai", (12, 12)),
        ("ViT-L-14-quickgelu/openai", (12, 24)),
        ("RN50-quickgelu/openai", (12, None)),
        ("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", (None, None)),
        ("no such clip", (None, None)),
    ],
)
def test_numbers_come_from_the_configuration(name, depths):
    assert tower_depths(name) == depths


def test_folders_tell_them_or_nothing(tmp_path, demo_backbone):
    assert tower_depths(str(tmp_path)) == (None, None)
    config = tmp_path / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": {"text_cfg": {"layers": 4}, "vision_cfg": {}}}))
    assert tower_depths(str(tmp_path)) == (4, 12)
    config.write_text("[]")
    assert tower_depths(str(tmp_path)) == (None, None)
    config.write_text("{")
    assert tower_depths(str(tmp_path)) == (None, None)
    model = demo_backbone.model
    found = len(model.transformer.resblocks), len(model.visual.transformer.resblocks)
    assert tower_depths("demo") == found

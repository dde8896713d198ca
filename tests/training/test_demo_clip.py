"""The small CLIP: its loss, its repeatability, and what the shipped weights can do."""

from __future__ import annotations

import json
import math

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from mocoop.assets import asset
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import BUILTIN, load_dataset
from mocoop.datasets.drawing import STYLES
from mocoop.features.cache import FeatureCache
from mocoop.templates import fill
from mocoop.training.demo_clip import (
    demo_classes,
    multi_match_loss,
    style_accuracy,
    train_demo_clip,
)
from mocoop.training.demo_config import DemoClipConfig
from tests.support.soft_prompts import encode_texts

SMALL = DemoClipConfig(
    steps=2, batch_size=6, warmup_steps=1, eval_every=2, eval_images=1, precision="fp32"
)


def test_loss_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    # One caption each: image 0 gets 3/4, image 1 gets 1/2; caption 0 gets 3/4, caption 1 1/2.
    matches = torch.eye(2)
    expected = -(math.log(0.75) + math.log(0.5)) / 2
    assert multi_match_loss(logits, matches).item() == pytest.approx(expected)
    # Both captions are true of both images: every match counts one half.
    both = torch.ones(2, 2)
    rows = -(math.log(0.75) + math.log(0.25)) / 2, math.log(2.0)
    columns = -(math.log(0.75) + math.log(0.25)) / 2, math.log(2.0)
    expected = (sum(rows) / 2 + sum(columns) / 2) / 2
    assert multi_match_loss(logits, both).item() == pytest.approx(expected)


def test_training_is_repeatable_and_loads_as_a_backbone(tmp_path):
    records = [list(train_demo_clip(SMALL, tmp_path / name)) for name in "ab"]
    assert records[0] == records[1]
    assert records[0][-1]["step"] == 2
    assert set(records[0][-1]) >= {f"accuracy/{style}" for style in STYLES}
    first, second = (load_file(tmp_path / n / "open_clip_model.safetensors") for n in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)
    backbone = load_backbone(str(tmp_path / "a"))
    assert backbone.text.shares_prefixes
    assert "| photo |" in (tmp_path / "a" / "README.md").read_text()


def test_every_class_of_every_set_is_learnt():
    learnt = {(member.dataset, member.name) for member in demo_classes()}
    assert learnt == {
        (name, label) for name in BUILTIN for label in load_dataset(name).class_names
    }


def test_shipped_weights_are_small_and_named(demo_backbone):
    folder = asset("demo-clip")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 20e6
    config = json.loads((folder / "open_clip_config.json").read_text())
    assert config["model_cfg"]["vision_cfg"]["patch_size"] == 8
    size = sum(parameter.numel() for parameter in demo_backbone.model.parameters())
    assert 7e6 < size < 9e6


def test_shipped_weights_know_every_style_of_unseen_pictures(demo_backbone):
    scores = style_accuracy(demo_backbone.model, demo_classes(), 1)["all"]
    demo_backbone.model.eval()
    assert sum(scores.values()) / len(scores) > 85
    assert min(scores.values()) > 50


@pytest.mark.parametrize("name", BUILTIN)
def test_hard_sets_leave_room_to_learn(name, demo_backbone, workspace):
    dataset = load_dataset(name)
    template = dataset.templates.zero_shot
    text = encode_texts(demo_backbone.text, [fill(template, n) for n in dataset.class_names])
    items = dataset.items("test")
    features = FeatureCache(demo_backbone).features(dataset, items)[:, 0]
    labels = torch.tensor([item.label for item in items])
    accuracy = 100 * ((features @ text.T).argmax(dim=1) == labels).float().mean().item()
    assert 45 <= accuracy <= 70


def test_open_clip_itself_loads_the_shipped_weights():
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{asset('demo-clip')}")
    assert model.encode_text(open_clip.tokenize(["a photo of an anchor."])).shape == (1, 128)
    assert transform is not None

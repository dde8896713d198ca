"""How far the learned tokens of each block moved: the numbers, and what a run keeps of them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from app.common.theme import expert_colours
from app.prompt_space import figures, tables
from mocoop.model.block_tokens import block_tokens, moved_by_block
from mocoop.model.build import build_model
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.templates import Groups
from mocoop.training import experiment
from mocoop.training.experiment import resume_experiment, run_experiment
from mocoop.training.imported import Imported
from tests.support.deep_clip import deep_backbone
from tests.support.tiny_data import picture_folder, tiny_checkpoint

GROUPS: Groups = {"photo": ("a photo of a {}.",), "sketch": ("a sketch of a {}.",)}


def test_the_distance_is_a_share_of_the_start():
    start = {"text": (torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]]),)}
    now = {"text": (torch.tensor([[[3.0, 4.0]], [[1.0, 2.0]]]),)}
    assert moved_by_block(start, now) == {"text": [[0.0, 2.0]]}


@pytest.mark.parametrize(
    ("method", "towers"),
    [
        ("coop", {}),
        ("vpt", {"image": 1}),
        ("maple", {"text": 1, "image": 1}),
        ("dpl", {"text": 1, "image": 1}),
    ],
)
def test_every_tower_with_learned_tokens_counts(method, towers):
    config = preset(method)
    depths = {"text_depth": 2} if config.text_depth > 1 else {}
    depths |= {"vision_depth": 2} if config.vision_depth else {}
    config = dataclasses.replace(config, **depths)
    groups = {"photo": GROUPS["photo"]}
    backbone = deep_backbone()
    model = build_model(config, backbone, groups, torch.Generator().manual_seed(1), 2)
    start = block_tokens(model, backbone.model.visual)
    assert {tower: len(parts) for tower, parts in start.items()} == towers
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1)
    for parts in moved_by_block(start, block_tokens(model, backbone.model.visual)).values():
        assert len(parts[0]) == 2
        assert min(parts[0]) > 0


def test_tokens_of_each_expert_are_in_the_last_blocks():
    config = dataclasses.replace(preset("mocoop-v"), vision_depth=1, expert_vision_depth=1)
    config, backbone = dataclasses.replace(config, groups=GROUPS), deep_backbone()
    model = build_model(config, backbone, GROUPS, torch.Generator().manual_seed(1), 2)
    start = block_tokens(model, backbone.model.visual)
    with torch.no_grad():
        model.vision.late[1] *= 3.0
    moved = moved_by_block(start, block_tokens(model, backbone.model.visual))
    assert moved == {"image": [[0.0, 0.0, 0.0], [0.0, 0.0, pytest.approx(2.0)]]}
    table = tables.block_frame([{"epoch": 1, "moved": moved}], list(GROUPS))
    figure = figures.block_bars(table, 1, expert_colours(list(GROUPS)))
    names = [trace.name for trace in figure.data]
    assert names == ["image tower, photo", "image tower, sketch"]
    assert list(figure.data[1].x) == [1, 2, 3]


@pytest.mark.long
def test_a_run_keeps_it_also_when_it_was_stopped(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)
    values = {"data": "details", "shots": 1, "classes": "base", "epochs": 2, "text_depth": 2}
    config = dataclasses.replace(preset("coop"), **values)
    for _ in run_experiment(config, tmp_path / "whole"):
        pass
    training = run_experiment(config, tmp_path / "parts")
    next(record for record in training if record.epoch == 1)
    training.close()
    for _ in resume_experiment(tmp_path / "parts"):
        pass
    whole, parts = (Run(tmp_path / name).records() for name in ("whole", "parts"))
    assert [record["moved"] for record in whole] == [record["moved"] for record in parts]
    assert whole[0]["moved"] == {"text": [[0.0, 0.0]]}
    assert min(whole[2]["moved"]["text"][0]) > 0


def test_a_stopped_run_that_began_with_imported_prompts(workspace, tmp_path, monkeypatch):
    """It still says where they are from, and measures how far they moved from there."""
    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)
    places = {"data": picture_folder(tmp_path / "pictures"), "shots": 1, "text_depth": 2}
    start = dataclasses.replace(
        preset("coop"), **places, backbone=tiny_checkpoint(tmp_path / "clip"), warmup_epochs=0
    )
    for _ in run_experiment(dataclasses.replace(start, epochs=1), tmp_path / "first"):
        pass
    imported = Imported("another program", Run(tmp_path / "first").weights())
    config = dataclasses.replace(start, epochs=2, learning_rate=0.1)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    for _ in run_experiment(config, whole.path, imported=imported):
        pass
    training = run_experiment(config, parts.path, imported=imported)
    next(record for record in training if record.epoch == 1)
    training.close()
    for _ in resume_experiment(parts.path):
        pass
    assert (whole.setup().imported, parts.setup().imported) == ("another program",) * 2
    moved = [record["moved"] for record in whole.records()]
    assert moved == [record["moved"] for record in parts.records()]
    assert moved[0] == {"text": [[0.0, 0.0]]}
    assert min(moved[2]["text"][0]) > 0
    assert not (parts.path / "resume").exists()


def test_the_figure_shows_one_epoch_on_the_axis_of_all():
    records = [
        {"epoch": epoch, "moved": {"text": [[0.0, epoch], [0.0, 2.0 * epoch]], "image": [[epoch]]}}
        for epoch in (0, 1, 2)
    ]
    table = tables.block_frame(records, list(GROUPS))
    assert table["block"].tolist() == [1, 2, 1, 2, 1] * 3
    figure = figures.block_bars(table, 1, expert_colours(list(GROUPS)))
    assert [trace.name for trace in figure.data] == [
        "text tower, photo",
        "text tower, sketch",
        "image tower",
    ]
    assert list(figure.data[1].y) == [0.0, 2.0]
    assert figure.layout.yaxis.range[1] == pytest.approx(1.05 * 4)
    assert tables.block_frame([{"epoch": 0}], list(GROUPS)).empty

"""Numbers of shots, and "all": read, written, drawn and shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from PIL import Image

from app.common.words import run_title
from app.compare.mean_tables import in_order
from mocoop.cli.main import parse
from mocoop.cli.protocols import ProtocolCommand
from mocoop.cli.train import TrainCommand
from mocoop.datasets import load_dataset
from mocoop.datasets.splits import few_shot_items, shots_missing
from mocoop.errors import UserError
from mocoop.presets import preset, settings_from
from mocoop.protocols.plans import Plan, tasks
from mocoop.protocols.runner import run_name
from mocoop.results.every_seed import every_seed
from mocoop.results.rows import Row, from_csv, to_csv
from mocoop.results.tables import few_shot_tables
from mocoop.runs.run import new_run_path
from mocoop.shots import ALL_SHOTS, shots_of, shots_order, shots_text, shots_value


def test_words_for_numbers_of_shots():
    assert [shots_text(n) for n in (0, 1, 16, ALL_SHOTS)] == [
        "0 shots", "1 shot", "16 shots", "all images",
    ]  # fmt: skip
    assert [shots_value(n) for n in (16, ALL_SHOTS)] == ["16", "all"]
    assert sorted([ALL_SHOTS, 16, 1], key=shots_order) == [1, 16, ALL_SHOTS]
    assert [shots_of(text) for text in ("16", "all", " ALL ")] == [16, ALL_SHOTS, ALL_SHOTS]
    with pytest.raises(ValueError, match="expected a whole number such as 16, or all; got 'few'"):
        shots_of("few")


def test_the_command_line_reads_all(capsys):
    command = parse("train", TrainCommand, ["--shots", "all", "--validation", "train"])
    assert (command.settings.shots, command.settings.validation) == (ALL_SHOTS, "train")
    plan = parse("protocol", ProtocolCommand, ["few-shot", "--shots", "4", "all"])
    assert plan.shots == (4, ALL_SHOTS)
    with pytest.raises(SystemExit):
        parse("train", TrainCommand, ["--shots", "some"])
    assert "whole number such as 16, or all; got" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def uneven(tmp_path):
    """A folder with a class of three training images and one of one, and validation images."""
    for split, counts in {"train": (3, 1), "val": (6, 2), "test": (1, 1)}.items():
        for label, count in zip(("cat", "dog"), counts, strict=True):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / f"{number}.png")
    return load_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("shots", "validation", "train", "val"),
    [
        (2, "few", (2, 1), (2, 2)),
        (2, "all", (2, 1), (6, 2)),
        (2, "train", (2, 2), (0, 0)),
        (99, "few", (3, 1), (4, 2)),  # more shots than images: those that there are
        (ALL_SHOTS, "few", (3, 1), (4, 2)),
        (ALL_SHOTS, "all", (3, 1), (6, 2)),
        (ALL_SHOTS, "train", (9, 3), (0, 0)),
    ],
)
def test_images_of_a_run(uneven, shots, validation, train, val):
    config = replace(preset("coop"), shots=shots, validation=validation)
    drawn = few_shot_items(config, uneven)
    counts = [tuple(sum(i.label == label for i in part) for label in (0, 1)) for part in drawn]
    assert counts == [train, val]
    images = [item.id for part in drawn for item in part]
    assert len(set(images)) == len(images)


def test_more_shots_than_images_is_told(uneven):
    assert shots_missing(replace(preset("coop"), shots=99), 2, 4) == (
        "4 training images instead of 198: some classes have fewer than 99."
    )
    assert shots_missing(replace(preset("coop"), shots=ALL_SHOTS), 2, 4) is None


def test_validation_images_that_are_test_images_are_not_trained_on(uneven, monkeypatch):
    monkeypatch.setattr(type(uneven), "val_is_test", property(lambda self: True))
    with pytest.raises(UserError, match="are its test images: they cannot be trained on"):
        few_shot_items(replace(preset("coop"), validation="train"), uneven)


def test_all_shots_is_a_number_in_files_and_a_word_for_people(tmp_path):
    config = replace(preset("coop"), data="details", shots=ALL_SHOTS)
    assert settings_from({"method": "coop", "data": "details", "shots": "all"}) == config
    assert settings_from(json.loads(json.dumps(config.to_dict()))) == config
    assert new_run_path(config, tmp_path).name == "details-coop-allshots-seed1-001"
    assert run_name(config).startswith("details-coop-allshots-seed1-")
    assert run_title(config) == "details · CoOp · all images · seed 1"


def test_tables_show_all_as_a_word_after_the_numbers():
    rows = [
        Row("few-shot", "details", "details", "coop", shots, seed, "accuracy", 50.0 + seed)
        for shots in (ALL_SHOTS, 4)
        for seed in (1, 2)
    ]
    text = to_csv(rows)
    assert "details,details,coop,-1,1,accuracy" in text
    assert from_csv(text) == tuple(rows)
    (table,) = few_shot_tables(in_order(rows))
    assert table.columns == ("4 shots", "all images", "mean of shots")
    assert {line.labels for line in every_seed(rows, "accuracy").blocks[0].lines} == {
        ("4",), ("all",),
    }  # fmt: skip


def test_a_plan_with_all_images():
    plan = Plan("few-shot", ("details",), ("zero-shot", "coop"), (ALL_SHOTS, 2), (1,))
    found = [(task.label, task.shots, task.config.shots) for task in tasks(plan)]
    assert found == [("zero-shot", 0, 2), ("coop", ALL_SHOTS, ALL_SHOTS), ("coop", 2, 2)]
    with pytest.raises(UserError, match=r"Would run: --shots all\."):
        tasks(Plan("few-shot", ("details",), ("coop",), (ALL_SHOTS, 5000), (1,)))

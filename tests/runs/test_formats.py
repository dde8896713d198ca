"""Runs of every earlier format open as they were meant; newer ones are left alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.common import state
from app.compare.tables import run_row
from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.older import STEPS
from mocoop.presets import preset
from mocoop.runs.delete import delete_run, why_kept
from mocoop.runs.export_zip import archive_bytes, write_archive
from mocoop.runs.formats import FORMAT
from mocoop.runs.import_zip import read_archive
from mocoop.runs.queue import is_busy
from mocoop.runs.run import Run, damaged_runs, list_runs
from mocoop.runs.validate import check_run
from mocoop.runs.writer import RunWriter, queue_again
from mocoop.storage.formats import NewerError
from mocoop.training.experiment import resume_experiment, run_experiment
from tests.runs.test_zips import entries, resigned, zipped
from tests.support.page_fixtures import open_page

OLD = Path(__file__).parents[1] / "fixtures" / "runs"
AGES = tuple(sorted(path.name for path in OLD.iterdir() if path.is_dir()))
MEANT = {
    "first-mocoop": {"gate_rate": 1.0, "learning_rate": 0.032, "text_scale": "one"},
    "first-coop": {"gate_rate": 1.0, "context_init": "template", "correction": False},
    "router-rate-mocoop": {"gate_rate": 20.0, "text_target": "prototype", "gate_target": "hard"},
    "rivals-kgcoop": {"anchor_weight": 16.0, "text_depth": 1},
    "published-kgcoop": {"anchor_weight": 16.0, "drop_last": False},
    "scenes-mocoop": {"vision_depth": 0, "router_input": "tuned"},
    "towers-ivlp": {"vision_depth": 3, "text_depth": 3, "lora_rank": 0},
    "before-formats-mocoop": {"num_experts": "groups", "optimizer": "sgd"},
}
"""Age → settings that its code did not have, or that meant something else, as they are now."""
NEWER = r"was written by a newer version of MoCoOp.* in format 99; this version reads formats 1 to"


def content(folder):
    """Returns the bytes of all files in a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(file, **changes):
    """Changes values of a JSON file; None removes one."""
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: v for name, v in values.items() if v is not None}))


@pytest.mark.parametrize("age", AGES)
def test_runs_of_every_age_are_read_whole(age, tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path))
    shutil.copytree(OLD / age, tmp_path / age)
    before, run = content(tmp_path / age), Run(tmp_path / age)
    assert check_run(run.path, age).state == "finished"
    setup = run.setup()
    assert {name: getattr(setup.config, name) for name in MEANT[age]} == MEANT[age]
    assert [record["epoch"] for record in run.records()][-2:] == [1, 2]
    assert max(run.features().soft) == 2
    assert run_row(run, age)["all"] == pytest.approx(run.results()["all"]["accuracy"])
    unpacked = read_archive(_zip(run, tmp_path / "run.zip"), tmp_path / "other")
    assert unpacked.setup() == setup
    assert json.loads((unpacked.path / "status.json").read_text())["format"] == FORMAT
    assert content(run.path) == before


def _zip(run, path):
    write_archive(run, path)
    return path


def test_every_step_is_needed_by_some_age():
    """Each step has a run before it and one after it; else it would not be tested."""
    saved = [json.loads((OLD / age / "config.json").read_text())["config"] for age in AGES]
    for step in STEPS:
        assert {step.lacks in values for values in saved} == {True, False}, step.lacks


def test_the_name_of_one_day_is_understood():
    """`learn_context` was called `learn_before` between two commits."""
    from mocoop.presets import settings_of_run

    values = preset("ivlp").to_dict()
    values["learn_before"] = not values.pop("learn_context")
    assert settings_of_run(values).learn_context is values["learn_before"]
    with pytest.raises(UserError, match="Unknown setting 'learn_before'"):
        settings_of_run(values, FORMAT)


def test_a_run_of_today_names_its_format(finished_run):
    for name in ("status.json", "config.json"):
        values = json.loads((finished_run.path / name).read_text())
        assert values["format"] == FORMAT
    assert next(iter(json.loads((finished_run.path / "status.json").read_text()))) == "format"


def test_a_stopped_run_of_the_first_format_goes_on(workspace, tmp_path, monkeypatch):
    """On the way it becomes one of today's format."""
    monkeypatch.setattr("mocoop.training.experiment.SNAPSHOT_SECONDS", 0.0)
    config = replace(preset("coop"), data="details", shots=1, epochs=2, save_every=1)
    training = run_experiment(config, tmp_path / "run")
    assert [next(training).epoch, next(training).epoch] == [0, 1]
    training.close()
    edit(tmp_path / "run" / "status.json", format=None)
    edit(tmp_path / "run" / "config.json", format=1)
    assert [record.epoch for record in resume_experiment(tmp_path / "run")] == [2]
    for name in ("status.json", "config.json"):
        assert json.loads((tmp_path / "run" / name).read_text())["format"] == FORMAT


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """A folder with a run of today and one of a newer version that has stopped."""
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path))
    for name in ("good", "newer"):
        shutil.copytree(OLD / "before-formats-mocoop", tmp_path / name)
    folder = tmp_path / "newer"
    # Nothing else of it can be read: a newer version may have changed everything.
    (folder / "status.json").write_text('{"format": 99, "phase": 3}')
    (folder / "config.json").write_text('{"format": 99, "version": "7.1"}')
    return folder


def test_a_newer_run_is_told_and_the_others_work(newer, capsys):
    assert main(["runs", "--json", "--root", str(newer.parent)]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["good"]["state"] == "finished"
    assert rows["newer"]["state"] == "newer"
    assert rows["newer"]["message"].startswith("was written by a newer version of MoCoOp")
    assert "Update MoCoOp to use it" in rows["newer"]["message"]
    assert [run.name for run in list_runs([newer.parent])] == ["good"]
    assert list(damaged_runs([newer.parent])) == [Run(newer)]
    assert not is_busy(newer.parent)


def test_a_newer_run_is_neither_read_nor_changed(newer, capsys):
    before, run = content(newer), Run(newer)
    for act in (
        run.status,
        run.setup,
        run.weights,
        run.features,
        lambda: archive_bytes(run),
        lambda: queue_again(run),
        lambda: RunWriter(newer, resume=True),
        lambda: RunWriter(newer),
        lambda: list(run_experiment(preset("coop", data="details"), newer)),
    ):
        with pytest.raises(NewerError, match=NEWER):
            act()
    for command in (["resume"], ["evaluate"], ["pack"], ["export", "--out", "elsewhere"]):
        assert main([*command[:1], "newer", *command[1:]]) == 2
        assert "a newer version of MoCoOp" in capsys.readouterr().err
    assert main(["train", "--config", str(newer / "config.json")]) == 2
    assert "a newer version of MoCoOp (7.1) in format 99" in capsys.readouterr().err
    assert why_kept(run).startswith("a newer version of MoCoOp wrote it")
    with pytest.raises(UserError, match="was not deleted"):
        delete_run(run)
    assert content(newer) == before


def test_a_newer_settings_file_alone_is_told(newer):
    edit(newer.parent / "good" / "config.json", format=99, version="7.1")
    with pytest.raises(NewerError, match=NEWER):
        Run(newer.parent / "good").setup()


def test_a_newer_run_in_an_archive_is_refused(newer, tmp_path):
    """Also if only its files say so: nothing is left behind."""
    files = entries(archive_bytes(Run(newer.parent / "good")))
    edited = json.loads(files["good/status.json"]) | {"format": 99}
    changed = resigned(files, "status.json", json.dumps(edited).encode(), "good")
    root = tmp_path / "imported"
    with pytest.raises(UserError, match=NEWER):
        read_archive(zipped(changed), root)
    assert list(root.iterdir()) == []


def test_the_app_tells_of_a_newer_run(newer):
    table = open_page("pages/compare.py").dataframe[0].value
    row = table[table["run"] == "newer"].iloc[0]
    assert row["state"] == "newer"
    assert "a newer version of MoCoOp" in row["settings"]
    app = open_page("pages/prompt_space.py", **{state.RUN: "newer"})
    assert not app.exception
    assert "'newer', which was written by a newer version" in app.warning[0].value

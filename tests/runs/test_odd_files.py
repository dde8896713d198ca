"""Every file of a run is read through one schema: an odd one disables its own run alone."""

from __future__ import annotations

import json
import shutil

import pytest

from app.compare.tables import run_row
from mocoop.assets import asset
from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.results.gather import gather
from mocoop.runs.delete import delete_run
from mocoop.runs.queue import is_busy
from mocoop.runs.run import Run, damaged_runs, list_runs

DEEP = "[" * 100_000
STATUS = (
    DEEP, "null", "[]", '{"state": NaN}',
    {"started": None}, {"started": 10**400}, {"started": "soon"}, {"state": None},
    {"state": "odd"}, {"pid": -1}, {"pid": 2**40}, {"message": 3}, {"epoch": True},
    {"newer": 1},
)  # fmt: skip
CONFIG = (
    DEEP, {"trained_classes": "abc"}, {"trained_classes": 10**400}, {"trained_classes": 99},
    {"class_names": "abc"}, {"class_names": ["a\0b", "c"]}, {"class_names": ["x" * 5000, "y"]},
    {"groups": []}, {"logit_scale": None}, {"version": 3}, {"white": "x"}, {"config": None},
    {"config": {"method": None}}, {"config": {"epochs": 10**400}}, {"config": {"data": "a\0"}},
    {"config": {"data": "x" * 5000}},
)  # fmt: skip
RESULTS = (
    DEEP, {"all": None}, {"all": {}}, {"all": {"accuracy": "x", "num_images": 1}},
    {"harmonic_mean": []}, {"training_seconds": "x"},
    {"all": {"accuracy": 1, "num_images": 1, "per_class": {"a": None}}},
)  # fmt: skip
RECORDS = (DEEP, {"epoch": None}, {"losses": {"total": "x"}}, {"seconds": 10**400})


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with two finished runs, `good` and `odd`."""
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path))
    for name in ("good", "odd"):
        shutil.copytree(asset("runs") / "albums-mocoop-16shot", tmp_path / name)
    return tmp_path


def write(file, harm):
    """Puts a text, or a changed value, into a file of JSON."""
    if isinstance(harm, dict):
        values = json.loads(file.read_text())
        harm = json.dumps(values | harm)
    file.write_text(harm)


def listed(capsys):
    """Returns what `mocoop runs` says of each run."""
    main(["runs", "--json"])
    return {row["run"]: row for row in json.loads(capsys.readouterr().out)}


def test_an_odd_status_leaves_the_other_runs(runs, capsys):
    for harm in STATUS:
        shutil.copy(runs / "good" / "status.json", runs / "odd" / "status.json")
        write(runs / "odd" / "status.json", harm)
        assert [run.name for run in list_runs([runs])] == ["good"]
        assert [run.name for run in damaged_runs([runs])] == ["odd"]
        assert not is_busy(runs)
        row = run_row(Run(runs / "odd"), "odd")
        assert row["state"] == "damaged"
        assert "status.json" in row["settings"]
    found = listed(capsys)
    assert found["odd"]["state"] == "damaged"
    assert "'newer', which this version" in found["odd"]["message"]
    assert found["good"]["state"] == "finished"
    main(["runs"])
    assert "damaged" in capsys.readouterr().out
    delete_run(Run(runs / "odd"))
    assert damaged_runs([runs]) == {}


@pytest.mark.parametrize(
    ("file", "harms"), [("config.json", CONFIG), ("results.json", RESULTS)], ids=str
)
def test_an_odd_file_disables_its_own_run(runs, capsys, file, harms):
    for harm in harms:
        shutil.copy(runs / "good" / file, runs / "odd" / file)
        write(runs / "odd" / file, harm)
        assert [run.name for run in list_runs([runs])] == ["good", "odd"]
        assert gather(list_runs([runs])).unreadable == ("odd",)
        assert file in run_row(Run(runs / "odd"), "odd")["settings"]
    found = listed(capsys)
    assert found["good"]["all"] > 0
    assert (found["odd"]["all"] is None) == (file == "results.json")


def test_an_odd_record_is_named(runs):
    for harm in RECORDS:
        line = json.loads((runs / "good" / "metrics.jsonl").read_text().splitlines()[0])
        text = harm if isinstance(harm, str) else json.dumps(line | harm)
        (runs / "odd" / "metrics.jsonl").write_text(text + "\n")
        with pytest.raises(UserError, match=r"metrics\.jsonl is damaged"):
            Run(runs / "odd").records()


def test_what_is_wrong_is_said(runs):
    write(runs / "odd" / "config.json", {"trained_classes": "abc"})
    with pytest.raises(UserError, match=r"Expected int, got str, at .trained_classes"):
        Run(runs / "odd").setup()

"""Reports and notebooks of runs: whole, safe to open, and runnable as they are."""

from __future__ import annotations

import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.evaluation.paired import wilson_interval
from mocoop.report import svg
from mocoop.report.compared import same_images
from mocoop.report.facts import facts
from mocoop.report.notebook import NOT_HERE, notebook_of
from mocoop.report.opened import open_here
from mocoop.report.reports import comparison_report, run_report
from mocoop.runs.export_zip import write_archive
from mocoop.runs.run import Run
from mocoop.storage.atomic import write_json
from tests.support.compare_example import copy_run

HOSTILE = "<script>alert(1)</script>\"'& $x_1$"
VOID = ("meta", "br", "hr", "img", "link")


class Tags(HTMLParser):
    """Follows the tags of a page; a tag that is not closed is an error."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(page: str) -> Tags:
    """Returns the tags of a page that is one file: nothing is loaded, no script runs."""
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert not {tag for tag, _ in tags.seen} & {"script", "link", "img", "iframe"}
    assert not [a for _, a in tags.seen if {"src", "href", "onload", "onerror"} & set(a)]
    assert len(page) < 2_000_000
    return tags


def run_cells(text: str, folder, monkeypatch, capsys) -> str:
    """Runs the code of a notebook in a folder, and returns what it prints."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict = {}
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    return capsys.readouterr().out


def test_report_of_a_run(finished_run):
    page = run_report(facts(finished_run))
    checked(page)
    base = finished_run.results()["base"]
    right = round(base["accuracy"] * base["num_images"] / 100)
    interval = wilson_interval(right, base["num_images"])
    assert f"{base['accuracy']:.1f} % [{interval.low:.1f}, {interval.high:.1f}]" in page
    assert finished_run.setup().backbone_fingerprint in page
    for words in ("How to cite", "arXiv", "mocoop 0.1.0", "zero-shot", "Accuracy by class"):
        assert words in page
    assert "<polyline" in page


def test_nothing_of_the_users_names_becomes_markup(finished_run, tmp_path):
    run = copy_run(finished_run, tmp_path / "run")
    config = json.loads((run.path / "config.json").read_text())
    config["class_names"][0] = HOSTILE
    config["groups"] = {f"{HOSTILE}{n}": v for n, v in enumerate(config["groups"].values())}
    config["config"]["data"] = f"/no/{HOSTILE.replace('/', '')}"
    write_json(run.path / "config.json", config)
    results = json.loads((run.path / "results.json").read_text())
    for part in ("base", "new"):
        results[part]["per_class"] = {HOSTILE: 50.0}
        results[part]["per_style"] = {HOSTILE: 50.0}
        results[part]["expert_usage"] = {HOSTILE: 0.5, "other": 0.5}
        results[part]["confusion"] = {HOSTILE: {HOSTILE + "2": 3}}
    write_json(run.path / "results.json", results)
    known = facts(run, HOSTILE)
    for page in (run_report(known), comparison_report({HOSTILE: known}, None, [HOSTILE])):
        checked(page)
        assert "&lt;script&gt;" in page
    first = json.loads(notebook_of(run))["cells"][0]
    assert "<script>" not in "".join(first["source"])


def test_report_of_a_comparison(finished_run, tmp_path):
    second = copy_run(finished_run, tmp_path / "second", seed=2)
    other = copy_run(finished_run, tmp_path / "other", data="faces")
    runs = {"one": finished_run, "two": second, "three": other}
    beside, notes = same_images(runs)
    assert beside.names == ("one", "two", "Zero-shot")
    assert beside.pair(0, 1).difference == 0
    page = comparison_report({name: facts(run, name) for name, run in runs.items()}, beside, notes)
    checked(page)
    for words in ("three was trained on faces", "Image by image", "p = 1.00", "Settings of two"):
        assert words in page
    with pytest.raises(UserError, match="at least one finished run"):
        comparison_report({})


def test_without_the_data_runs_are_compared_by_their_files(finished_run, tmp_path):
    gone = copy_run(finished_run, tmp_path / "gone", data=str(tmp_path / "nowhere"))
    beside, notes = same_images({"gone": gone})
    assert beside is None
    assert "not compared image by image" in notes[0]
    checked(comparison_report({"gone": facts(gone)}, beside, notes))


def test_damaged_and_deleted_runs_are_told(finished_run, tmp_path):
    run = copy_run(finished_run, tmp_path / "bad")
    (run.path / "results.json").write_text('{"base": 7}')
    with pytest.raises(UserError, match="does not fit"):
        facts(run)
    shutil.rmtree(run.path)
    for document in (facts, notebook_of):
        with pytest.raises(UserError):
            document(run)


def test_a_run_that_is_trained_again_while_it_is_read(finished_run, tmp_path, monkeypatch):
    run, read = copy_run(finished_run, tmp_path / "run"), Run.results

    def trained_meanwhile(self):
        found = read(self)
        status = json.loads((self.path / "status.json").read_text())
        write_json(self.path / "status.json", status | {"updated": status["updated"] + 1})
        return found

    monkeypatch.setattr(Run, "results", trained_meanwhile)
    for document in (facts, notebook_of):
        with pytest.raises(UserError, match="trained again while it was read"):
            document(run)


def test_a_run_that_is_deleted_while_it_is_read(finished_run, tmp_path, monkeypatch):
    run, read = copy_run(finished_run, tmp_path / "run"), Run.setup

    def deleted_meanwhile(self):
        found = read(self)
        shutil.rmtree(self.path)
        return found

    monkeypatch.setattr(Run, "setup", deleted_meanwhile)
    with pytest.raises(UserError, match="not a complete run"):
        facts(run)


def test_a_notebook_runs_as_it_is(finished_run, tmp_path, monkeypatch, capsys):
    text = notebook_of(finished_run)
    write_archive(finished_run, tmp_path / f"{finished_run.name}.zip")
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "empty"))
    said = run_cells(text, tmp_path, monkeypatch, capsys)
    assert "the run, its data and its CLIP are here" in said
    accuracy = finished_run.results()["base"]["accuracy"]
    assert f"{accuracy:.2f} % in the run's files" in said
    again = re.search(r"base: ([\d.]+) % \[[^]]+\] now", said)
    assert float(again[1]) == pytest.approx(accuracy, abs=0.01)
    assert (tmp_path / "unpacked-runs" / finished_run.name / "config.json").is_file()
    assert open_here(finished_run.name, tmp_path).path.parent.name == "unpacked-runs"
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.reads(text, 4))


def test_a_notebook_without_its_data_says_so_at_once(finished_run, tmp_path, monkeypatch, capsys):
    gone = copy_run(finished_run, tmp_path / "gone", data=str(tmp_path / "nowhere"))
    text = notebook_of(gone)
    assert NOT_HERE in "".join(json.loads(text)["cells"][0]["source"])
    said = run_cells(text, tmp_path, monkeypatch, capsys)
    assert said.startswith(NOT_HERE)
    assert f"{gone.results()['base']['accuracy']:.2f} %" in said
    assert "mean weights" in said
    assert "now," not in said


def test_a_notebook_finds_a_run_of_any_name(finished_run, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    run = copy_run(finished_run, tmp_path / "runs" / "cats & dogs-001")
    (cell,) = [
        c for c in json.loads(notebook_of(run))["cells"] if "NAME = " in "".join(c["source"])
    ]
    assert "".join(cell["source"]) == "NAME = 'cats & dogs-001'"
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    assert open_here("cats & dogs-001", tmp_path).path == run.path
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "empty"))
    write_archive(run, tmp_path / "cats - dogs-001.zip")
    for _ in range(2):  # the second time it is unpacked already
        found = open_here("cats & dogs-001", tmp_path)
        assert found.path == tmp_path / "unpacked-runs" / "cats - dogs-001"


def test_a_notebook_without_its_run_says_where_to_put_it(tmp_path):
    with pytest.raises(UserError, match=r"never\.zip"):
        open_here("never", tmp_path)


def test_commands(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(finished_run.path)]) == 0
    assert os.path.getsize(f"{finished_run.name}-report.html") > 5000
    second = copy_run(finished_run, tmp_path / "b" / finished_run.name)
    both = [str(finished_run.path), str(second.path)]
    assert main(["report", *both, "--out", "both.html", "--json"]) == 0
    assert "Image by image" in (tmp_path / "both.html").read_text()
    assert main(["notebook", str(finished_run.path), "--out", "n.ipynb"]) == 0
    assert json.loads((tmp_path / "n.ipynb").read_text())["nbformat"] == 4
    assert main(["report", "never"]) == 2
    assert main(["report", str(finished_run.path), "--out", str(tmp_path)]) == 2
    assert "expected a file" in capsys.readouterr().err


def test_curves_have_gaps_and_round_ticks():
    line = svg.Line("a", ((1, 1.0), (2, None), (3, 4.0), (4, 9.0)), "#123456")
    figure = svg.curves([line], "alt", " %")
    assert figure.count("<polyline") == 2
    assert ">10 %<" in figure
    assert svg.curves([svg.Line("a", ((1, 1.0),), "#123456")], "alt") == ""
    flat = svg.curves([svg.Line("a", ((1, 0.0), (2, 0.0)), "#123456")], "alt")
    assert "NaN" not in flat


def test_a_run_is_named_once(finished_run):
    assert facts(Run(finished_run.path)).title.startswith("MoCoOp on details, 2 images per class")

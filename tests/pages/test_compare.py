"""The Compare page: empty, loaded, failing; filters, means, curves, export, import, delete."""

from __future__ import annotations

import io
import os
import shutil
import time
import zipfile
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from app.common import state
from app.common.theme import METHOD_COLOURS
from app.compare import documents, run_files, view, words
from app.compare.figures import Curve, training_curves
from app.compare.tables import RunFilter, run_row, run_table, select_runs, why_no_curve
from app.compare.words import CURVES, MEANS
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.runs.export_zip import archive_bytes
from mocoop.runs.run import Run
from mocoop.runs.writer import mark_stopped, queue_run
from mocoop.storage.atomic import write_json
from tests.support.compare_example import copy_run
from tests.support.page_fixtures import open_page

PAGE = "pages/compare.py"


def texts(elements):
    return " ".join(str(element.value) for element in elements)


def button(app, label):
    return next(button for button in app.button if button.label == label)


@pytest.fixture
def two_seeds(one_run, empty_runs):
    """Two seeds of the same run, with accuracies of their own."""
    copy_run(one_run, empty_runs / "second", {"base": 70.0, "new": 40.0}, seed=2)
    return one_run


def test_empty_says_what_to_do_and_can_import(empty_runs):
    app = open_page(PAGE)
    assert not app.exception
    assert "There is no run yet" in texts(app.info)
    assert len(app.get("file_uploader")) == 3


def test_loaded_shows_every_run(two_seeds):
    app = open_page(PAGE)
    assert not app.exception
    table = app.dataframe[0].value
    assert set(table["run"]) == {two_seeds.name, "second"}
    row = table[table["run"] == "second"].iloc[0]
    assert (row["base"], row["new"], row["seed"], row["method"]) == (70.0, 40.0, 2, "MoCoOp")
    assert row["settings"] == "epochs 3"
    assert "2 of 2 runs" in texts(app.caption)


def test_the_run_that_changed_last_comes_first(two_seeds):
    for name, hours in ((two_seeds.name, 1), ("second", 2)):
        status = two_seeds.path.parent / name / "status.json"
        os.utime(status, (time.time() - 3600 * hours,) * 2)
    table = open_page(PAGE).dataframe[0].value
    assert table["run"].tolist() == [two_seeds.name, "second"]
    os.utime(two_seeds.path.parent / "second" / "status.json")
    table = open_page(PAGE).dataframe[0].value
    assert table["run"].tolist() == ["second", two_seeds.name]
    assert table["changed"].is_monotonic_decreasing
    assert table.columns[:5].tolist() == ["run", "all", "base", "new", "HM"]


def shown_columns(app):
    return list(app.dataframe[0].proto.column_order)


def test_columns_fit_the_page_and_more_can_be_shown(two_seeds):
    """By default few are shown, of the accuracies those that runs have; a link restores more."""
    few = ["run", "base", "new", "HM", "state", "data", "method", "shots", "seed", "settings"]
    app = open_page(PAGE)
    assert shown_columns(app) == few
    app.pills(key=state.MORE_COLUMNS).set_value(["changed", "error"]).run()
    assert not app.exception
    assert shown_columns(app) == [*few[:-1], "error", "changed"]
    assert shown_columns(open_page(PAGE, columns="last change")) == [*few[:-1], "changed"]


def test_a_failed_run_shows_what_was_asked_for(empty_runs):
    run = queue_run(empty_runs / "failed")
    config = replace(preset("coop"), data="faces", shots=4, seed=7)
    write_json(run.path / "request.json", config.to_dict())
    mark_stopped(run, replace(run.status(), state="failed", message="no room left"))
    row = run_row(run, "failed")
    assert (row["data"], row["method"], row["shots"], row["seed"]) == ("faces", "CoOp", 4, 7)
    assert row["settings"] == "no room left"
    app = open_page(PAGE, table=CURVES, runs="failed")
    assert "`failed` has no curve: it is failed. no room left" in texts(app.caption)


def test_a_run_without_epochs_says_why_it_has_no_curve(two_seeds):
    untrained = replace(preset("zero-shot"), data="details", classes="base", shots=2).to_dict()
    zero = copy_run(two_seeds, two_seeds.path.parent / "zero", **untrained)
    (zero.path / "metrics.jsonl").write_text("")
    assert why_no_curve(two_seeds) is None
    assert why_no_curve(zero) == "Zero-shot does not learn epoch by epoch"
    still = copy_run(two_seeds, two_seeds.path.parent / "still", epochs=0)
    (still.path / "metrics.jsonl").write_text("")
    assert why_no_curve(still) == "it was trained for 0 epochs"
    app = open_page(PAGE, table=CURVES, runs="zero")
    assert not app.exception
    assert "`zero` has no curve: Zero-shot" in texts(app.caption)


def test_filters_come_from_a_link(two_seeds):
    copy_run(two_seeds, two_seeds.path.parent / "other", data="faces")
    app = open_page(PAGE, shot="2", states="finished", methods="MoCoOp")
    assert app.multiselect(key=state.ONLY_SHOTS).value == [2]
    assert len(app.dataframe[0].value) == 3
    app = open_page(PAGE, datasets="faces")
    assert not app.exception
    assert app.multiselect(key=state.ONLY_DATA).value == ["faces"]
    assert app.dataframe[0].value["run"].tolist() == ["other"]
    app.multiselect(key=state.ONLY_DATA).set_value([]).run()
    assert len(app.dataframe[0].value) == 3


def test_means_stand_beside_published_numbers(two_seeds):
    app = open_page(PAGE, table=MEANS)
    assert not app.exception
    said = texts(app.markdown)
    base = (two_seeds.results()["base"]["accuracy"] + 70.0) / 2
    assert f"{base:.1f}** ±" in said or f"{base:.1f} ±" in said
    assert "Mean ± sample standard deviation (n − 1) over 2 seeds" in said
    assert "Published: ViT-B/16" in said
    assert "78.61" in said  # LASP's harmonic mean, in print
    files = {element.label for element in app.get("download_button")}
    assert files == {"CSV of every seed", "CSV of means", "LaTeX", "Markdown"}


def test_means_of_nothing_say_what_to_do(empty_runs):
    queue_run(empty_runs / "waiting")
    app = open_page(PAGE, table=MEANS)
    assert not app.exception
    assert "nothing to average" in texts(app.info)


def test_curves_of_the_selected_runs(two_seeds):
    app = open_page(PAGE, table=CURVES)
    assert not app.exception
    assert "Select up to 8 runs" in texts(app.info)
    app = open_page(PAGE, table=CURVES, runs="second")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1
    app = open_page(PAGE, table=CURVES, runs="gone")
    assert not app.exception
    assert "There is no run 'gone'" in texts(app.warning)


def test_a_selected_run_can_be_exported(two_seeds):
    app = open_page(PAGE, runs="second")
    assert not app.exception
    export = next(e for e in app.get("download_button") if e.label == "Export as zip")
    assert not export.disabled
    content = archive_bytes(Run(two_seeds.path.parent / "second"))
    assert "second/README.md" in zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_selected_runs_have_intervals_and_a_zero_shot_row(two_seeds):
    app = open_page(PAGE, runs=["second", two_seeds.name])
    assert not app.exception
    table = next(frame.value for frame in app.dataframe if "low" in frame.value.columns)
    row = table[(table["run"] == "second") & (table["classes"] == "base")].iloc[0]
    assert row["accuracy"] == 70.0
    assert row["low"] < 70.0 < row["high"]
    untrained = table[table["run"] == words.ZERO_SHOT]
    assert len(untrained) == 2  # base and new, once for both runs
    assert words.REPORT in {element.label for element in app.get("download_button")}


def test_a_finished_run_has_a_report_and_a_notebook(two_seeds):
    app = open_page(PAGE, runs="second")
    labels = {element.label for element in app.get("download_button")}
    assert {words.REPORT, words.NOTEBOOK, "Export as zip"} <= labels


def test_runs_without_results_are_named_below_the_others(two_seeds, empty_runs):
    queue_run(empty_runs / "waiting")
    (two_seeds.path.parent / "second" / "results.json").write_text('{"base": 7}')
    app = open_page(PAGE, runs=["second", two_seeds.name, "waiting"])
    assert not app.exception
    said = texts(app.caption)
    assert "waiting is left out" in said
    assert "second is left out" in said
    assert [frame for frame in app.dataframe if "low" in frame.value.columns]


def test_deleting_names_the_runs_and_asks_first(two_seeds):
    other = two_seeds.path.parent / "second"
    app = open_page(PAGE, runs="second")
    button(app, "Delete …").click().run()
    assert not app.exception
    assert "`second`" in texts(app.markdown)
    delete = button(app, "Delete 1 run")  # pressed in the browser tests: here dialogs stay shut
    assert delete.proto.type == "secondary"  # not the page's recommendation
    assert other.is_dir()
    button(app, "Keep it").click().run()
    assert other.is_dir()
    assert state.NOTES not in app.session_state


def asked_to_delete(folder):
    from pathlib import Path

    from app.compare.run_files import ask_to_delete
    from mocoop.runs.run import list_runs

    ask_to_delete({run.name: run for run in list_runs([Path(folder)]) if run.name == "second"})


def test_deleting_says_how_many_runs_it_deleted(two_seeds):
    app = AppTest.from_function(asked_to_delete, kwargs={"folder": str(two_seeds.path.parent)})
    button(app.run(), "Delete 1 run").click().run()
    assert not app.exception
    assert not (two_seeds.path.parent / "second").exists()
    assert two_seeds.path.is_dir()
    assert app.session_state[state.NOTES] == ["1 run deleted."]  # the whole app shows them


def test_runs_at_work_are_not_deleted(one_run, empty_runs):
    queue_run(empty_runs / "waiting")
    app = open_page(PAGE, runs="waiting")
    button(app, "Delete …").click().run()
    assert not app.exception
    assert "`waiting` stays: it is queued or running" in texts(app.info)
    assert not [b for b in app.button if b.label.startswith("Delete 1")]


def upload(app, content: bytes, name: str = ""):
    app.file_uploader(key=state.IMPORT_FILE).set_value(("run.zip", content, "application/zip"))
    app.text_input(key=state.IMPORT_NAME).set_value(name)
    return button(app, "Import").click().run()


def test_importing_a_run(one_run, empty_runs):
    content = archive_bytes(one_run)
    app = upload(open_page(PAGE), content)
    assert not app.exception
    assert "called 'details-tiny' already" in texts(app.error)
    assert "another name (below the file)" in texts(app.error)
    app = upload(app, content, "from afar")
    assert not app.exception
    assert "Imported as `from afar`" in texts(app.success)
    assert "from afar" in app.dataframe[0].value["run"].tolist()
    assert Run(empty_runs / "from afar").results() == one_run.results()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut short"])
def test_importing_something_else(one_run, empty_runs, content):
    before = {path.name for path in empty_runs.iterdir()}
    app = upload(open_page(PAGE), content)
    assert not app.exception
    assert app.error or app.warning
    assert {path.name for path in empty_runs.iterdir()} == before


@pytest.mark.parametrize(
    ("before", "query"),
    [
        ("table_of", {}),
        ("pick_filter", {}),
        ("run_list", {"runs": "second"}),
        ("means", {"table": MEANS}),
        ("open_picked", {"table": CURVES, "runs": "second"}),
        ("curves", {"table": CURVES, "runs": "second"}),
    ],
)
def test_a_run_deleted_while_the_page_is_drawn_takes_nothing_else_along(
    two_seeds, monkeypatch, before, query
):
    step = getattr(view, before)

    def deleted_first(*arguments):
        shutil.rmtree(two_seeds.path.parent / "second", ignore_errors=True)
        return step(*arguments)

    monkeypatch.setattr(view, before, deleted_first)
    app = open_page(PAGE, **query)
    assert not app.exception
    if before == "table_of":
        assert app.dataframe[0].value["run"].tolist() == [two_seeds.name]
    elif before == "pick_filter":
        assert app.dataframe[0].value["run"].tolist() == [two_seeds.name, "second"]
    elif before == "run_list":
        assert "second is not a complete run" in texts(app.error)
        assert len(app.get("file_uploader")) == 3
    elif before == "means":
        assert f"{two_seeds.results()['base']['accuracy']:.1f}" in texts(app.markdown)
    else:
        said = texts(app.warning if before == "open_picked" else app.caption)
        assert "second is not a complete run" in said
    if before != "run_list":
        assert not app.error


@pytest.mark.parametrize("before", ["actions", "accuracies"])
def test_a_selected_run_deleted_while_the_page_is_drawn(two_seeds, monkeypatch, before):
    module = {"actions": run_files, "accuracies": documents}[before]
    step = getattr(module, before)

    def deleted_first(*arguments):
        shutil.rmtree(two_seeds.path.parent / "second", ignore_errors=True)
        return step(*arguments)

    monkeypatch.setattr(module, before, deleted_first)
    app = open_page(PAGE, runs=["second", two_seeds.name])
    assert not app.exception
    assert not app.error
    assert "second is left out" in texts(app.caption)
    table = next(frame.value for frame in app.dataframe if "low" in frame.value.columns)
    assert two_seeds.name in set(table["run"])
    app.run()  # the next look at the page has only the other run
    assert not app.exception
    assert app.dataframe[0].value["run"].tolist() == [two_seeds.name]


def test_a_damaged_run_is_listed_with_its_reason(two_seeds):
    path = two_seeds.path.parent / "second"
    (path / "config.json").write_text("{")
    app = open_page(PAGE, runs="second")
    assert not app.exception
    table = app.dataframe[0].value
    row = table[table["run"] == "second"].iloc[0]
    assert "config.json cannot be read" in row["settings"]
    app = open_page(PAGE, table=MEANS)
    assert not app.exception
    assert "second" in texts(app.caption)


def test_results_of_another_kind_do_not_hide_the_rest(two_seeds):
    (two_seeds.path.parent / "second" / "results.json").write_text('{"base": 7}')
    app = open_page(PAGE)
    assert not app.exception
    assert len(app.dataframe[0].value) == 2


def test_a_filter_without_choices_lets_all_through(finished_run, tmp_path):
    waiting = queue_run(tmp_path / "waiting")
    table = run_table([run_row(finished_run, "a"), run_row(waiting, "b")])
    assert select_runs(table, RunFilter())["run"].tolist() == ["a", "b"]
    assert select_runs(table, RunFilter(states=("queued",)))["run"].tolist() == ["b"]
    assert select_runs(table, RunFilter(shots=(2,), methods=("MoCoOp",)))["run"].tolist() == ["a"]
    assert select_runs(table, RunFilter(trained_on=("all classes",))).empty


def test_curves_of_one_method_share_its_colour(finished_run):
    records = finished_run.records()
    curves = [Curve("a", "mocoop", records), Curve("b", "mocoop", records), Curve("c", "coop", [])]
    figure = training_curves(curves)
    assert len(figure.data) == 6  # three panels; a run without records has no line
    first, second = (trace for trace in figure.data if trace.xaxis == "x")
    assert first.line.color == second.line.color == METHOD_COLOURS["mocoop"]
    assert first.line.dash != second.line.dash
    assert list(first.y) == [record["val_accuracy"] for record in records]
    loss = next(trace for trace in figure.data if trace.xaxis == "x3")
    assert list(loss.x) == [record["epoch"] for record in records if record["losses"]]
    assert [trace.showlegend for trace in figure.data].count(True) == 2


def test_every_method_has_a_colour():
    assert set(METHOD_COLOURS) == set(METHODS)

"""Reports from the Compare page, of runs that change before the report is asked for."""

from __future__ import annotations

import os
import shutil

from app.compare import words
from app.compare.documents import comparison_text, run_text
from mocoop.report.compared import same_images
from tests.support.compare_example import copy_run


def compared(finished_run, folder):
    """Returns two runs, their answers to the same images, and their stamps."""
    runs = {name: copy_run(finished_run, folder / name) for name in ("one", "two")}
    lined, _ = same_images(runs)
    stamps = {name: (run.path / "status.json").stat().st_mtime for name, run in runs.items()}
    return runs, lined, stamps


def test_runs_that_stayed_are_compared_image_by_image(finished_run, tmp_path):
    text = comparison_text(*compared(finished_run, tmp_path))
    assert "Image by image" in text
    assert "changed after" not in text


def test_a_run_trained_again_takes_the_older_answers_along(finished_run, tmp_path):
    runs, lined, stamps = compared(finished_run, tmp_path)
    os.utime(runs["two"].path / "status.json", (1, 1))
    text = comparison_text(runs, lined, stamps)
    assert "Image by image" not in text
    assert words.changed(["two"]) in text
    assert "Settings of two" in text


def test_deleted_runs_are_named_and_the_rest_reported(finished_run, tmp_path):
    runs, lined, stamps = compared(finished_run, tmp_path)
    shutil.rmtree(runs["two"].path)
    text = comparison_text(runs, lined, stamps)
    assert "two is left out" in text
    assert "Settings of one" in text
    shutil.rmtree(runs["one"].path)
    text = comparison_text(runs, lined, stamps)
    assert words.NO_REPORT in text
    assert "one is left out" in text


def test_a_run_deleted_before_its_report(finished_run, tmp_path):
    run = copy_run(finished_run, tmp_path / "<b>gone")
    assert "Report: MoCoOp on details" in run_text(run, "<b>gone")
    shutil.rmtree(run.path)
    text = run_text(run, "<b>gone")
    assert words.NO_REPORT in text
    assert "not a complete run" in text
    assert "<b>" not in text

"""Numbers of an earlier page of results are kept, and nothing is trained for them again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mocoop.cli import many_runs as commands
from mocoop.cli.main import main
from mocoop.protocols.ablations import ablation_tasks
from mocoop.protocols.plans import Plan, Task, tasks
from mocoop.results import page as results_page
from mocoop.results.kept import Kept
from mocoop.results.protocol_rows import labels_of, rows_of
from mocoop.results.rows import Row, from_csv, to_csv
from mocoop.runs.run import list_runs


def row(task: Task, measure: str, target: str = "", seed: int = 1) -> Row:
    config = task.config
    numbers = task.shots, seed, measure, 50.0
    return Row(task.protocol, config.data, target or config.data, task.label, *numbers)


def test_rows_are_those_of_the_same_half_and_style():
    few, base = ablation_tasks(("digits",), ("full",), seeds=(1,))
    rows = [
        row(few, "accuracy"),
        row(few, "style NMI"),
        row(base, "base"),
        row(base, "HM"),
        row(base, "calibration error, new"),
    ]
    kept = Kept(rows, labels_of([few, base]))
    assert kept.of(few) == rows[:2]
    assert kept.of(base) == rows[2:]
    (photo,) = tasks(Plan("domain-generalization", ("albums",), ("coop",), (4,), (1,)))
    styled = replace(row(photo, "accuracy", "sketch"), style="photo")
    assert Kept([styled], labels_of([photo])).of(photo) == [styled]
    assert Kept([replace(styled, style="dark")], labels_of([photo])).of(photo) == []


def test_a_task_needs_every_seed_and_target():
    plan = Plan("cross-dataset", ("albums", "details", "halves"), ("zero-shot",), (1,), (1, 2))
    (task,) = tasks(plan)
    rows = [
        row(task, "accuracy", target, seed)
        for target in ("albums", "details", "halves")
        for seed in (1, 2)
    ]
    labels = labels_of([task])
    assert sorted(Kept(rows, labels).of(task), key=rows.index) == rows
    for missing in rows[2:]:  # every target but the set itself, each seed
        assert Kept([one for one in rows if one != missing], labels).of(task) == []


def test_nothing_is_trained_for_numbers_that_are_kept(tmp_path, monkeypatch, workspace, capsys):
    """The page of two methods: one has a finished run, the other an earlier number."""
    own, other = tasks(Plan("few-shot", ("digits",), ("zero-shot", "ensemble"), (1,), (1,)))
    monkeypatch.setattr(results_page, "all_tasks", lambda seeds: [other, own])
    monkeypatch.setattr(
        results_page, "page", lambda rows, runs, kept, memory: f"{len(runs)} {kept} {memory}"
    )
    earlier = tmp_path / "earlier.csv"
    earlier.write_text(to_csv([row(own, "accuracy"), row(other, "accuracy")]))
    root, out = tmp_path / "runs", tmp_path / "page.md"
    commands.run_all([own], root, commands.EngineOptions().chosen(), quiet=True)
    (run,) = list_runs([root])
    line = ["results", "--out", str(out), "--root", str(root), "--seeds", "1"]
    assert main([*line, "--keep", str(earlier)]) == 0
    assert list_runs([root]) == [run]
    assert out.read_text() == "1 1 {}"  # nothing that learns, so no memory is measured
    rows = from_csv(out.with_suffix(".csv").read_text())
    assert rows == (row(other, "accuracy"), *rows_of(own, run))
    assert f"1 of them from {earlier}" in capsys.readouterr().out

    earlier.write_text("a,b\n")
    assert main([*line, "--keep", str(earlier)]) == 2
    assert main([*line, "--keep", str(tmp_path / "gone.csv")]) == 2
    assert "gone.csv cannot be read" in capsys.readouterr().err
    assert out.read_text() == "1 1 {}"


@pytest.mark.parametrize("kept", [0, 7])
def test_the_page_says_how_many_numbers_were_kept(kept):
    said = results_page._of_earlier(kept, 20)
    assert bool(said) == bool(kept)
    assert not kept or "7 of the 20 numbers are from earlier runs" in said

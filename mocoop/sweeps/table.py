"""The table of a sweep: validation accuracies of all candidates, test ones of the chosen."""

from __future__ import annotations

from typing import Any

from mocoop.results.cells import Block, Cell, Line, Series, Table, mean_cell, with_best_in_bold
from mocoop.runs.run import Run
from mocoop.shots import shots_value
from mocoop.sweeps.halving import Outcome, Scored
from mocoop.sweeps.plan import Sweep

PARTS = {"all": "test", "base": "test base", "new": "test new", "harmonic_mean": "test HM"}
MARK = "→ "


def sweep_table(sweep: Sweep, outcome: Outcome) -> Table:
    """Returns mean ± sample standard deviation over seeds for every candidate.

    The chosen candidate is first and marked; only it has test accuracies.
    """
    places = [(data, shots) for data in sweep.data for shots in sweep.shots]
    tested = [part for part in PARTS if all(part in accuracies(r) for r in outcome.tests.values())]
    # None in bold: numbers after different numbers of epochs are not compared.
    lines = with_best_in_bold(
        [_line(scored, places) for scored in outcome.scored], len(sweep.seeds), direction=0
    )
    tests = [_test_cell(outcome, places, part) for part in tested]
    filled = [
        Line(
            (f"{MARK}{line.labels[0]}" if scored is outcome.chosen else line.labels[0],
             *line.labels[1:]),
            line.cells + tuple(tests if scored is outcome.chosen else [Cell()] * len(tests)),
        )
        for line, scored in zip(lines, outcome.scored, strict=True)
    ]  # fmt: skip
    several = len(places) > 1
    columns = [_place(sweep, *place) for place in places] + ["mean"] * several
    return Table(
        "sweep",
        "Sweep",
        "Accuracy on validation images in percent, mean ± standard deviation over seeds, after "
        f"the epochs at which a candidate was last compared. {MARK}marks the chosen one: the best "
        "on validation images. The test images were used for it alone.",
        ("candidate", "epochs"),
        (*columns, *(PARTS[part] for part in tested)),
        (Block(tuple(filled)),),
        data=sweep.data,
    )


def records(sweep: Sweep, outcome: Outcome) -> list[dict[str, Any]]:
    """Returns every candidate with its accuracies, for JSON."""
    return [
        {
            "method": scored.candidate.method,
            "changes": dict(scored.candidate.changes),
            "epochs": scored.epoch,
            "chosen": scored is outcome.chosen,
            "mean": scored.mean if scored.accuracies else None,
            "diverged": scored.why,
            "validation": [
                {"data": data, "shots": shots_value(shots), "seed": seed, "accuracy": value}
                for (data, shots, seed), value in scored.accuracies.items()
            ],
            "test": [
                {"data": data, "shots": shots_value(shots), "seed": seed, "run": str(run.path)}
                | accuracies(run)
                for (data, shots, seed), run in outcome.tests.items()
            ]
            if scored is outcome.chosen
            else [],
        }
        for scored in outcome.scored
    ]


def accuracies(run: Run) -> dict[str, float]:
    """Returns the test accuracies of a finished run, by the choice of classes."""
    results = run.results()
    found = {part: results[part]["accuracy"] for part in ("all", "base", "new") if part in results}
    if "harmonic_mean" in results:
        found["harmonic_mean"] = results["harmonic_mean"]
    return found


def _line(scored: Scored, places: list[tuple[str, int]]) -> Line:
    """Returns a candidate's line, without test accuracies."""
    parts = [_series(scored.accuracies, place) for place in places]
    cells = [mean_cell([part]) for part in parts]
    if len(places) > 1:
        cells.append(mean_cell(parts))
    epochs = str(scored.epoch) if scored.accuracies else "diverged"
    return Line((scored.candidate.words, epochs), tuple(cells))


def _test_cell(outcome: Outcome, places: list[tuple[str, int]], part: str) -> Cell:
    """Returns the chosen candidate's test accuracy, the mean over data sets and shots."""
    values = {key: accuracies(run)[part] for key, run in outcome.tests.items()}
    return mean_cell([_series(values, place) for place in places])


def _series(values: Any, place: tuple[str, int]) -> Series:
    """Returns seed → value of one data set and number of shots."""
    return {seed: value for (*where, seed), value in values.items() if tuple(where) == place}


def _place(sweep: Sweep, data: str, shots: int) -> str:
    """Returns the head of a column."""
    if len(sweep.data) == 1 and len(sweep.shots) == 1:
        return "validation"
    return data if len(sweep.shots) == 1 else f"{data}, {shots_value(shots)}"

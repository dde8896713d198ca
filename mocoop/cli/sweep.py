"""The command sweep: compares many settings on validation images, and tests the best."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mocoop.cli.console import print_json
from mocoop.cli.many_runs import EngineOptions
from mocoop.cli.option_types import MaybePath
from mocoop.cli.output_paths import check_file
from mocoop.runs.paths import SWEEPS, default_runs

if TYPE_CHECKING:
    from mocoop.sweeps.halving import Outcome
    from mocoop.sweeps.plan import Sweep


@dataclass(frozen=True)
class SweepCommand:
    """Compare a grid or random settings on validation images, and test the best ones alone.

    The YAML file names data, methods, shots, seeds, and a grid of settings, or a search with the
    ranges to draw from. With `halving` the worse candidates are left out after a few epochs. To
    continue after a stop, run the same command again: nothing is trained twice.

    Examples:
        mocoop sweep sweep.yaml --workers 2
        mocoop sweep sweep.yaml --engine ray --address auto --gpus 0.25
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """YAML file of the sweep."""
    folder: MaybePath = None
    """Folder of the sweep; by default one with the file's name in `sweeps` in MOCOOP_RUNS or
    ./runs."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(default_factory=EngineOptions)
    csv: MaybePath = None
    """Also write the accuracy of every candidate, data set and seed to this CSV file."""
    json: bool = False
    """Print one JSON document instead of a table."""


def sweep(command: SweepCommand) -> None:
    """Runs a sweep, shows its progress with the time left, and prints its table.

    Raises:
        UserError: for a file with mistakes, or runs that cannot be trained.
    """
    check_file("--csv", command.csv)
    from tqdm import tqdm

    from mocoop.sweeps.sweep_file import read_sweep

    plan = read_sweep(command.file)
    from mocoop.results.markup import to_markdown
    from mocoop.storage.atomic import write_text
    from mocoop.sweeps.halving import run_sweep
    from mocoop.sweeps.table import records, sweep_table

    folder = command.folder or default_runs() / SWEEPS / command.file.stem
    training = run_sweep(plan, folder, command.engine.chosen())
    bar: tqdm | None = None
    while True:
        try:
            done, total = next(training)
        except StopIteration as end:
            outcome: Outcome = end.value
            break
        # What was done before this start tells nothing about the time left.
        bar = bar or tqdm(total=total, initial=done, unit="epoch", disable=command.json)
        bar.update(done - bar.n)
    if bar is not None:
        bar.close()
    table = to_markdown(sweep_table(plan, outcome))
    write_text(folder / "table.md", table)
    if command.csv is not None:
        write_text(command.csv, _csv(plan, outcome))
    if command.json:
        print_json({"folder": str(folder), "candidates": records(plan, outcome)})
        return
    print(table, end="")
    print(f"\nchosen on validation images: {outcome.chosen.candidate.words}")
    for run in outcome.tests.values():
        print(f"  {run.path}")


def _csv(plan: Sweep, outcome: Outcome) -> str:
    """Returns a row for every candidate, data set, number of shots and seed."""
    import csv
    import io

    from mocoop.csv_cells import csv_cell
    from mocoop.sweeps.table import records

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["candidate", "epochs", "chosen", "data", "shots", "seed", "validation"])
    for record, scored in zip(records(plan, outcome), outcome.scored, strict=True):
        for row in record["validation"]:
            place = [csv_cell(row["data"]), row["shots"], row["seed"], row["accuracy"]]
            own = [scored.candidate.words, record["epochs"], int(record["chosen"])]
            writer.writerow([*own, *place])
    return text.getvalue()

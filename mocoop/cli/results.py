"""The command results: all protocols on the built-in sets, and the page that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mocoop.cli.many_runs import EngineOptions, run_each
from mocoop.cli.option_types import MaybePath
from mocoop.cli.output_paths import check_file
from mocoop.errors import UserError
from mocoop.runs.paths import protocol_runs

if TYPE_CHECKING:
    from mocoop.protocols.plans import Task
    from mocoop.results.rows import Row


@dataclass(frozen=True)
class ResultsCommand:
    """Run all protocols on the built-in sets and write the results page (RESULTS.md).

    Finished runs are not repeated. To continue after a stop, run the same command again.
    """

    out: Path = Path("RESULTS.md")
    """The page. A CSV file with the numbers of every seed is written next to it."""
    root: MaybePath = None
    """Folder of the runs; by default `protocol` in MOCOOP_RUNS or ./runs."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Random seeds, one run each."""
    keep: MaybePath = None
    """CSV file of an earlier page. Its numbers are kept where --root has no finished run for them:
    nothing is trained for these again."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(
        default_factory=lambda: EngineOptions(workers=2)
    )


def results(command: ResultsCommand) -> None:
    """Runs all protocols on the built-in sets and writes the results page."""
    check_file("--out", command.out)
    if command.out.suffix.lower() == ".csv":
        raise UserError(
            f"--out {command.out} is the page; the CSV file with the numbers is written next to "
            f"it. Name the page, such as {command.out.with_suffix('.md')}."
        )
    check_file("The numbers next to --out", command.out.with_suffix(".csv"))
    from mocoop.results.page import all_tasks, costs_shown, memory_of, page
    from mocoop.results.tables import to_csv
    from mocoop.storage.atomic import write_text

    root, engine = command.root or protocol_runs(), command.engine.chosen()
    tasks = all_tasks(command.seeds)
    kept = _kept(command.keep, tasks, root) if command.keep else {}
    here = [task for index, task in enumerate(tasks) if index not in kept]
    found, runs = run_each(here, root, engine)
    others = iter(found)
    by_task = [kept[index] if index in kept else next(others) for index in range(len(tasks))]
    rows = [row for own in by_task for row in own]
    number = sum(map(len, kept.values()))
    print("measuring the memory of training steps", flush=True)
    memory = memory_of(costs_shown(runs), lambda text: None)
    write_text(command.out, page(rows, runs, number, memory))
    write_text(command.out.with_suffix(".csv"), to_csv(rows))
    earlier = f", {number} of them from {command.keep}" if number else ""
    print(f"{command.out}: {len(rows)} numbers from {len(runs)} runs{earlier}")


def _kept(path: Path, tasks: Sequence[Task], root: Path) -> dict[int, list[Row]]:
    """Returns index of a task → its rows of an earlier page, where no run of it is finished.

    Raises:
        UserError: if the file cannot be read, or has other content.
    """
    from mocoop.protocols.reuse import Expectations
    from mocoop.protocols.runner import is_finished
    from mocoop.results.kept import Kept
    from mocoop.results.protocol_rows import labels_of
    from mocoop.results.tables import from_csv

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"--keep {path} cannot be read: {error}.") from error
    earlier, known = Kept(from_csv(text), labels_of(tasks)), Expectations()
    return {
        index: rows
        for index, task in enumerate(tasks)
        if (rows := earlier.of(task)) and not is_finished(task, root, known)
    }

"""What the commands protocol, ablation and results do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mocoop.cli.console import print_json
from mocoop.cli.output_paths import check_file
from mocoop.cli.protocol_options import (
    AblationCommand,
    ProtocolCommand,
    ResultsCommand,
    TableOutput,
    TuneCommand,
)
from mocoop.errors import UserError

if TYPE_CHECKING:
    from mocoop.protocols.plans import Task
    from mocoop.results.cells import Table
    from mocoop.results.rows import Row
    from mocoop.runs.run import Run


def protocol(command: ProtocolCommand) -> None:
    """Trains and tests a protocol's runs and prints its tables."""
    _check_files(command.output)
    from mocoop.protocols.plans import Plan, tasks
    from mocoop.results.page import tables_of

    plan = Plan(
        command.protocol,
        command.data,
        command.methods,
        command.shots,
        command.seeds,
        command.backbone,
        command.style,
        command.targets,
    )
    rows, _ = run_all(tasks(plan), command.root, command.workers, quiet=command.output.json)
    tell(rows, tables_of(rows, command.protocol, command.measures), command.output)


def ablation(command: AblationCommand) -> None:
    """Trains and tests the variants of a mixture and prints their table."""
    _check_files(command.output)
    from mocoop.protocols.ablations import ablation_tasks
    from mocoop.results.page import tables_of

    tasks = ablation_tasks(
        command.data,
        command.variants,
        command.method,
        command.shots,
        command.seeds,
        command.backbone,
    )
    rows, _ = run_all(tasks, command.root, command.workers, quiet=command.output.json)
    tell(rows, tables_of(rows, "ablation"), command.output)


def results(command: ResultsCommand) -> None:
    """Runs all protocols on the built-in sets and writes the page of results."""
    check_file("--out", command.out)
    from mocoop.results.page import all_tasks, page
    from mocoop.results.tables import to_csv
    from mocoop.storage.atomic import write_text

    rows, runs = run_all(all_tasks(command.seeds), command.root, command.workers)
    write_text(command.out, page(rows, runs))
    write_text(command.out.with_suffix(".csv"), to_csv(rows))
    print(f"{command.out}: {len(rows)} numbers of {len(runs)} runs")


def tune(command: TuneCommand) -> None:
    """Prints every recipe of a grid with its validation accuracies as soon as it is trained."""
    from mocoop.protocols.tuning import tune as candidates_of

    grid = {}
    for text in command.grid:
        name, sign, values = text.partition("=")
        if not sign or not values:
            raise UserError(f"Expected a grid such as learning_rate=0.1,0.2; got {text!r}.")
        grid[name] = values.split(",")
    found = []
    for candidate in candidates_of(
        command.method, grid, command.data, command.shots, command.seeds, command.backbone
    ):
        found.append(candidate)
        if not command.json:
            settings = ", ".join(f"{name} {value}" for name, value in candidate.changes.items())
            print(f"{candidate.mean:6.2f} %  {settings}", flush=True)
    best = max(found, key=lambda candidate: candidate.mean)
    if command.json:
        print_json([asdict(candidate) | {"mean": candidate.mean} for candidate in found])
    else:
        settings = ", ".join(f"{name} {value}" for name, value in best.changes.items())
        print(f"best on validation images: {settings} ({best.mean:.2f} %)")


def _check_files(output: TableOutput) -> None:
    """Raises UserError, before anything is trained, for files that cannot be written."""
    for option in ("csv", "markdown", "latex"):
        check_file(f"--{option}", getattr(output, option))


def run_all(
    tasks: Sequence[Task], root: Path, workers: int, quiet: bool = False
) -> tuple[list[Row], list[Run]]:
    """Returns the rows of all tasks in their order and the different runs, showing a bar."""
    from tqdm import tqdm

    from mocoop.protocols.runner import run_tasks
    from mocoop.results.protocol_rows import rows_of

    found: dict[int, list[Row]] = {}
    runs: dict[Path, Run] = {}
    place = {id(task): index for index, task in enumerate(tasks)}
    with tqdm(total=len(tasks), unit="run", disable=quiet) as bar:
        for task, run in run_tasks(tasks, root, workers):
            found[place[id(task)]] = rows_of(task, run)
            runs[run.path] = run
            bar.update()
            bar.set_description(f"{Path(task.config.data).name} {task.label}")
    return [row for index in sorted(found) for row in found[index]], list(runs.values())


def tell(rows: Sequence[Row], tables: Sequence[Table], output: TableOutput) -> None:
    """Prints tables or JSON, and writes the files that were asked for."""
    from mocoop.results.markup import to_latex, to_markdown
    from mocoop.results.tables import to_csv
    from mocoop.storage.atomic import write_text

    markdown = "\n".join(to_markdown(table) for table in tables)
    texts = (
        (output.csv, to_csv(rows)),
        (output.markdown, markdown),
        (output.latex, "\n".join(to_latex(table) for table in tables)),
    )
    for path, text in texts:
        if path is not None:
            write_text(path, text)
    if output.json:
        print_json([asdict(row) for row in rows])
    else:
        print(markdown, end="")

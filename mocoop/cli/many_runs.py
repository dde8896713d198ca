"""Where the runs of a command train, and how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mocoop.protocols.plans import Task
    from mocoop.results.rows import Row
    from mocoop.runs.run import Run
    from mocoop.storage.engines import Engine


@dataclass(frozen=True)
class EngineOptions:
    """Options for where the runs train."""

    workers: int = 1
    """Number of runs that train at the same time on this machine."""
    engine: Literal["local", "ray"] = "local"
    """`local` trains in processes of this machine; `ray` on a Ray cluster, which is started here
    if --address names none. All its nodes must reach --root and the data."""
    address: str = ""
    """ray: address of a running cluster, or `auto`."""
    cpus: float = 1.0
    """ray: processor cores of each run."""
    gpus: float = 0.0
    """ray: GPUs of each run; a fraction shares one."""
    memory: float = 0.0
    """ray: memory of each run in GiB; 0 asks for none."""

    def chosen(self) -> Engine:
        """Returns the engine."""
        from mocoop.storage.engines import Engine

        return Engine(self.engine, self.workers, self.address, self.cpus, self.gpus, self.memory)


def run_all(
    tasks: Sequence[Task], root: Path, engine: Engine, quiet: bool = False
) -> tuple[list[Row], list[Run]]:
    """Runs all tasks and shows a progress bar.

    Returns the rows in the order of the tasks, and the runs, each once.
    """
    found, runs = run_each(tasks, root, engine, quiet)
    return [row for rows in found for row in rows], runs


def run_each(
    tasks: Sequence[Task], root: Path, engine: Engine, quiet: bool = False
) -> tuple[list[list[Row]], list[Run]]:
    """Returns what `run_all` does, with the rows of every task on their own."""
    from tqdm import tqdm

    from mocoop.protocols.runner import run_tasks
    from mocoop.results.protocol_rows import labels_of, rows_of

    labels = labels_of(tasks)
    rows: dict[int, list[Row]] = {}
    runs: dict[Path, Run] = {}
    index_of = {id(task): index for index, task in enumerate(tasks)}
    with tqdm(total=len(tasks), unit="run", disable=quiet) as bar:
        for task, run in run_tasks(tasks, root, engine=engine):
            rows[index_of[id(task)]] = rows_of(task, run, labels)
            runs[run.path] = run
            bar.update()
            bar.set_description(f"{labels[task.config.data]} {task.label}")
    return [rows[index] for index in sorted(rows)], list(runs.values())

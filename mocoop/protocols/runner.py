"""Runs the tasks of a protocol, several in parallel; finished runs are not trained again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from pathlib import Path

from mocoop.config import TrainConfig
from mocoop.datasets import dataset_name, load_dataset
from mocoop.errors import UserError
from mocoop.evaluation.transfer import evaluate_on, saved_evaluation
from mocoop.presets import identity
from mocoop.protocols.plans import Task
from mocoop.runs.paths import remove_half_files
from mocoop.runs.reserve import removed_unless_begun, reserve
from mocoop.runs.run import FINISHED, Run
from mocoop.shots import shots_name
from mocoop.storage.engines import Engine, needed_folders, shared_folder

WAIT_SECONDS = 0.5  # between two looks at a run that another process trains


def run_tasks(
    tasks: Sequence[Task], root: Path, workers: int = 1, engine: Engine | None = None
) -> Iterator[tuple[Task, Run]]:
    """Yields every task with its finished run, in the order in which they finish.

    A run that is already finished is read and not trained again, so that a second call with the
    same tasks is fast. Two calls at once share the work: what one of them trains, the other one
    leaves until the end, and then waits for it.

    Args:
        tasks: the tasks; tasks with equal settings share a run.
        root: folder of the runs.
        workers: number of processes, each with an equal share of the processor cores.
        engine: where the runs train; processes of this machine if None. All nodes of a cluster
            have to reach `root` and the data.

    Raises:
        UserError: for a task that fails; finished runs are kept.
    """
    engine, root = engine or Engine(workers=workers), shared_folder(root)
    # A run is identified by its settings; several protocols can use the same run.
    by_key: dict[str, list[Task]] = {}
    for task in tasks:
        by_key.setdefault(run_name(task.config), []).append(task)
    waiting: list[str] = []
    for key, same in by_key.items():
        run = _finished(root, key)
        if run is None or not all(_evaluated(run, task) for task in same):
            waiting.append(key)
            continue
        yield from ((task, run) for task in same)
    root.mkdir(parents=True, exist_ok=True)
    folders = needed_folders(root, (task.config for task in tasks))
    for work in (finish_unless_taken, finish):
        jobs = [(by_key[key][0].config, _targets(by_key[key]), root) for key in waiting]
        taken = []
        for index, path in engine.map(work, jobs, waiting, folders):
            if path is None:
                taken.append(waiting[index])
            else:
                yield from ((task, Run(path)) for task in by_key[waiting[index]])
        waiting = taken


def finish(config: TrainConfig, targets: tuple[str, ...], root: Path) -> Path:
    """Returns the folder of the finished run with these settings; trains it if there is none.

    A stopped run with these settings is resumed from its snapshot. Where another process trains
    it, this one waits.

    Args:
        config: the run's settings.
        targets: other data sets on which the run is tested too.
        root: folder of the runs.
    """
    while (path := finish_unless_taken(config, targets, root)) is None:
        time.sleep(WAIT_SECONDS)
    return path


def finish_unless_taken(config: TrainConfig, targets: tuple[str, ...], root: Path) -> Path | None:
    """Returns what `finish` does, but None instead of waiting for another process."""
    name = run_name(config)
    run = _finished(root, name)
    if run is None and not _is_taken(root, name):
        run = _resumed(root, name) or _trained(config, root, name)
    if run is None:
        return None
    for target in targets:
        evaluate_on(run, load_dataset(target))
    return run.path


def run_name(config: TrainConfig) -> str:
    """Returns the folder name of a run in a protocol: readable, and unique for its settings."""
    text = json.dumps(identity(config), sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:10]
    shots = shots_name(config.shots)
    return f"{Path(config.data).name}-{config.method}-{shots}-seed{config.seed}-{key}"


def _trained(config: TrainConfig, root: Path, name: str) -> Run | None:
    """Trains a run with these settings from the beginning and returns it.

    Returns None if another process trains it, or has finished it in the meantime.
    """
    from mocoop.training.experiment import run_experiment

    run = reserve(root, partial(_path_if_needed, root, name))
    if run is None:
        return None
    with removed_unless_begun(run):
        for _ in run_experiment(config, run.path):
            pass
    return run


def _path_if_needed(root: Path, name: str) -> Path | None:
    """Returns an unused folder; None if a run is finished, or is being trained."""
    if _finished(root, name) is not None or _is_taken(root, name):
        return None
    path = _free_path(root, name)
    with suppress(FileNotFoundError):
        path.rmdir()  # an empty folder of a killed process
    return path


def _is_taken(root: Path, name: str) -> bool:
    """Returns whether a process trains, or is about to train, a run of this name."""
    return any(_is_active(path) for path in takewhile(Path.exists, _paths(root, name)))


def _resumed(root: Path, name: str) -> Run | None:
    """Resumes a stopped run and returns it when it is finished; None if none can be resumed."""
    from mocoop.training.experiment import resume_experiment
    from mocoop.training.snapshots import saved_epoch

    for path in takewhile(Path.exists, _paths(root, name)):
        if _is_active(path) or saved_epoch(path) is None:
            continue
        with suppress(UserError):  # its images or weights have changed
            for _ in resume_experiment(path):
                pass
            return Run(path)
    return None


def _finished(root: Path, name: str) -> Run | None:
    """Returns a finished run; None if there is none."""
    for path in _paths(root, name):
        if not path.exists():
            return None
        with suppress(UserError):  # a process was killed before it wrote a status, say
            if Run(path).status().state == FINISHED:
                return Run(path)
    return None


def _is_active(path: Path) -> bool:
    """Returns whether a run is running or waiting; one without a readable status is not."""
    try:
        return Run(path).status().active
    except UserError:
        return False


def _free_path(root: Path, name: str) -> Path:
    """Returns an unused folder: an unfinished run with the same settings is not overwritten."""
    return next(path for path in _paths(root, name) if _is_free(path))


def _is_free(path: Path) -> bool:
    """Returns whether a folder does not exist, or a killed process has left it empty."""
    remove_half_files(path)
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _paths(root: Path, name: str) -> Iterator[Path]:
    """Yields the folders that a run of this name can have: NAME, NAME-1, NAME-2, ..."""
    yield root / name
    number = 1
    while True:
        yield root / f"{name}-{number}"
        number += 1


def _targets(same: Sequence[Task]) -> tuple[str, ...]:
    """Returns all targets of tasks that share a run, each once."""
    return tuple(dict.fromkeys(target for task in same for target in task.targets))


def _evaluated(run: Run, task: Task) -> bool:
    """Returns whether the run was tested on all the targets of a task."""
    return all(saved_evaluation(run, dataset_name(target)) for target in task.targets)

"""Runs the tasks of a protocol, several in parallel; finished runs are not trained again."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from pathlib import Path

from mocoop.config import TrainConfig
from mocoop.datasets import load_dataset
from mocoop.errors import UserError, UserNote
from mocoop.evaluation.transfer import evaluate_on
from mocoop.evaluation.transfer_files import saved_evaluation
from mocoop.presets import identity
from mocoop.protocols.plans import Task
from mocoop.protocols.reuse import (
    Expectations,
    Expected,
    finished_runs,
    runs_of_older_names,
)
from mocoop.runs.paths import data_in_name, remove_half_files
from mocoop.runs.reserve import removed_unless_begun, reserve
from mocoop.runs.run import Run
from mocoop.shots import shots_name
from mocoop.storage.engines import Engine, needed_folders, shared_folder

WAIT_SECONDS = 0.5  # between two looks at a run that another process trains


def run_tasks(
    tasks: Sequence[Task], root: Path, workers: int = 1, engine: Engine | None = None
) -> Iterator[tuple[Task, Run]]:
    """Yields every task with its finished run, in the order in which they finish.

    A run that is already finished is read and not trained again, so that a second call with the
    same tasks is fast. If its CLIP, classes, templates or images have changed since then, it is
    kept, a new run is trained beside it, and a `UserNote` says so. Two calls at once share the
    work: what one of them trains, the other one leaves until the end, and then waits for it.

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
    known, waiting, changed = Expectations(), dict[str, Expected | None](), dict[str, list[str]]()
    for key, same in by_key.items():
        found = _Search(root, same[0].config, known)
        run = found.finished()
        if run is None or not all(_evaluated(run, task, known) for task in same):
            waiting[key] = found.expected
            if run is None and found.changed:
                changed.setdefault(found.changed, []).append(key)
            continue
        yield from ((task, run) for task in same)
    _tell(changed)
    root.mkdir(parents=True, exist_ok=True)
    folders = needed_folders(root, (task.config for task in tasks))
    names = list(waiting)
    for work in (finish_unless_taken, finish):
        jobs = [
            (by_key[key][0].config, _targets(by_key[key]), root, waiting[key]) for key in names
        ]
        taken = []
        for index, path in engine.map(work, jobs, names, folders):
            if path is None:
                taken.append(names[index])
            else:
                yield from ((task, Run(path)) for task in by_key[names[index]])
        names = taken


def is_finished(task: Task, root: Path, known: Expectations) -> bool:
    """Returns whether `run_tasks` would only read a task's run: it is finished, and tested.

    Args:
        task: the task.
        root: folder of the runs.
        known: looks up what the run would be made from now.
    """
    run = _Search(root, task.config, known).finished()
    return run is not None and _evaluated(run, task, known)


def finish(
    config: TrainConfig, targets: tuple[str, ...], root: Path, expected: Expected | None = None
) -> Path:
    """Returns the folder of the finished run with these settings; trains it if there is none.

    A stopped run with these settings is resumed from its snapshot. Where another process trains
    it, this one waits.

    Args:
        config: the run's settings.
        targets: other data sets on which the run is tested too.
        root: folder of the runs.
        expected: what the run is to be made from; it is looked up if None.
    """
    while (path := finish_unless_taken(config, targets, root, expected)) is None:
        time.sleep(WAIT_SECONDS)
    return path


def finish_unless_taken(
    config: TrainConfig, targets: tuple[str, ...], root: Path, expected: Expected | None = None
) -> Path | None:
    """Returns what `finish` does, but None instead of waiting for another process."""
    found = _Search(root, config, Expectations(), expected)
    run = found.finished()
    if run is None and not _is_taken(root, run_name(config)):
        run = found.resumed() or _trained(config, root, found)
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
    return f"{data_in_name(config.data)}-{config.method}-{shots}-seed{config.seed}-{key}"


def _trained(config: TrainConfig, root: Path, found: _Search) -> Run | None:
    """Trains a run with these settings from the beginning and returns it.

    Returns None if another process trains it, or has finished it in the meantime.
    """
    from mocoop.training.experiment import run_experiment

    run = reserve(root, partial(_path_if_needed, root, run_name(config), found))
    if run is None:
        return None
    with removed_unless_begun(run):
        for _ in run_experiment(config, run.path):
            pass
    return run


def _path_if_needed(root: Path, name: str, found: _Search) -> Path | None:
    """Returns an unused folder; None if a run is finished, or is being trained."""
    if found.finished() is not None or _is_taken(root, name):
        return None
    path = _free_path(root, name)
    with suppress(FileNotFoundError):
        path.rmdir()  # an empty folder of a killed process
    return path


def _is_taken(root: Path, name: str) -> bool:
    """Returns whether a process trains, or is about to train, a run of this name."""
    return any(_is_active(path) for path in takewhile(os.path.lexists, _paths(root, name)))


class _Search:
    """Looks for the run with some settings that can be used or continued.

    Args:
        root: folder of the runs.
        config: the settings.
        known: looks up what the run would be made from, if there is any to compare with.
        expected: what it would be made from, if that is known.
    """

    def __init__(
        self,
        root: Path,
        config: TrainConfig,
        known: Expectations,
        expected: Expected | None = None,
    ) -> None:
        self._root, self._config, self._known = root, config, known
        self._name = run_name(config)
        self.expected = expected
        self.changed = ""
        """What has changed since the last finished run with these settings; "" if nothing."""

    def finished(self) -> Run | None:
        """Returns a finished run that would be trained just so today; None if there is none."""
        for run in finished_runs(_paths(self._root, self._name)):
            self.changed = self._difference(run)
            if not self.changed:
                return run
        for run in runs_of_older_names(self._root, self._config):
            with suppress(UserError):
                if self._now().same_settings(run.setup()) and not self._difference(run):
                    return run
        return None

    def resumed(self) -> Run | None:
        """Resumes a stopped run and returns it when it is finished; None if none can be."""
        from mocoop.training.experiment import resume_experiment
        from mocoop.training.snapshots import saved_epoch

        for path in takewhile(os.path.lexists, _paths(self._root, self._name)):
            if _is_active(path) or saved_epoch(path) is None or self._difference(Run(path)):
                continue
            with suppress(UserError):  # its images or weights have changed
                for _ in resume_experiment(path):
                    pass
                return Run(path)
        return None

    def _difference(self, run: Run) -> str:
        """Returns in words what a run was made from that is different now; "" if nothing is."""
        now = self._now()
        try:
            return now.difference(run)
        except UserError:
            return "the files"  # they are damaged

    def _now(self) -> Expected:
        if self.expected is None:
            self.expected = self._known.of(self._config)
        return self.expected


def _tell(changed: Mapping[str, Sequence[str]]) -> None:
    """Warns of finished runs that are not used, one sentence for each reason."""
    for what, names in changed.items():
        others = f" and {len(names) - 1} others" if len(names) > 1 else ""
        warnings.warn(
            UserNote(
                f"{what[0].upper()}{what[1:]} changed since {names[0]}{others} finished, so it is "
                "trained anew in another folder."
            ),
            stacklevel=2,
        )


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
    return not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir()))


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


def _evaluated(run: Run, task: Task, known: Expectations) -> bool:
    """Returns whether the run was tested on all the targets of a task as they are now."""
    return all(saved_evaluation(run, target, known.tested_on(target)) for target in task.targets)

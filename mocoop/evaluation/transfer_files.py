"""The files with a run's results on other data sets: each says what it was measured on.

``transfer-NAME.json`` has the name of the data set; if another one of that name has this file
already, ``transfer-NAME-1.json`` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mocoop.datasets import BENCHMARKS, absolute_source, is_builtin
from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import Evaluation
from mocoop.runs.run import Run, read_checked
from mocoop.runs.schema import TransferFile
from mocoop.storage.atomic import write_json

PREFIX = "transfer-"


def saved_targets(run: Run) -> tuple[str, ...]:
    """Returns the data sets on which a run was tested: their names or absolute paths.

    Files of earlier versions tell the name alone, also of a set that has a path.
    """
    return tuple(sorted({_target(path, values) for path, values in _files(run)}))


def saved_evaluation(run: Run, target: str, tested_on: str | None = None) -> dict[str, Any] | None:
    """Returns a run's saved results on a data set; None if there are none.

    Args:
        run: a run.
        target: name or path of the data set, or one of `saved_targets`.
        tested_on: the key of the set's test images now (`ImageKeys.of_test`): results on others
            are left out. A file of an earlier version has no key; it counts for a set that is
            loaded by its name. None if whatever is saved is asked for.
    """
    by_name = is_builtin(target) or target in BENCHMARKS
    same = {target}  # a name as it was saved, also where a folder of this name is here now
    with suppress(UserError):  # no path of this machine
        same.add(absolute_source(target))
    for path, values in _files(run):
        if _target(path, values) not in same:
            continue
        saved_on = values.get("tested_on") or (tested_on if by_name else "")
        if tested_on is None or saved_on == tested_on:
            return values
    return None


def save_evaluation(
    run: Run, dataset: Dataset, tested_on: str, evaluation: Evaluation
) -> dict[str, Any]:
    """Writes a run's results on a data set and returns them; they replace earlier ones on it.

    Args:
        run: a finished run.
        dataset: the data set.
        tested_on: the key of its test images.
        evaluation: the results.
    """
    source = absolute_source(dataset.source)
    values = asdict(evaluation) | {"source": source, "tested_on": tested_on}
    write_json(_path_for(run, dataset.name, source), values)
    return values


def _path_for(run: Run, name: str, source: str) -> Path:
    """Returns the file of a data set: its own, one of an earlier version, or a new one."""
    taken = {path: values.get("source") for path, values in _files(run)}
    own = [path for path, where in taken.items() if where == source]
    if own:
        return own[0]
    number = 0
    while True:
        path = run.path / f"{PREFIX}{name}{f'-{number}' if number else ''}.json"
        if not taken.get(path):
            return path
        number += 1


def _files(run: Run) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the files with a run's results on other data, checked, and their values."""
    for path in sorted(run.path.glob(f"{PREFIX}*.json")):
        yield path, read_checked(run.path, path.name, TransferFile)


def _target(path: Path, values: Mapping[str, Any]) -> str:
    """Returns what a file was measured on; in earlier versions the file's name alone tells it."""
    return values.get("source") or path.stem.removeprefix(PREFIX)

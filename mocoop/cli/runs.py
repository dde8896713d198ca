"""The commands evaluate and runs: test finished runs, and list all runs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mocoop.cli.console import (
    counted,
    main_accuracies,
    print_json,
    print_results,
    print_runs,
    progress_bar,
)
from mocoop.cli.option_types import MaybePath, RunName
from mocoop.errors import UserError
from mocoop.runs.chosen_on_test import KEY, chosen_on_test
from mocoop.runs.paths import find_run
from mocoop.runs.queue import ahead_of
from mocoop.runs.status import QUEUED, Status, state_without_status
from mocoop.slow_imports import import_slow
from mocoop.storage.formats import NewerError

if TYPE_CHECKING:
    from mocoop.runs.run import Run


@dataclass(frozen=True)
class EvaluateCommand:
    """Test a finished run on its data set's test images, or on those of another data set.

    Examples:
        mocoop evaluate RUN --classes new
        mocoop evaluate RUN --data digits
        mocoop evaluate RUN --data folder/with/images --json
    """

    run: RunName
    """Folder or name of the run."""
    data: str | None = None
    """Another data set, by name or path: its own class names take the place of the run's. Not
    for methods that know only their own classes (linear probe, Tip-Adapter)."""
    classes: Annotated[
        Literal["all", "base", "new"] | None,
        tyro.conf.arg(metavar="{all,base,new}", help_behavior_hint=""),
    ] = None
    """The classes to test on; by default all, or base and new for a base-to-new run; all of
    another data set."""
    json: bool = False
    """Print the results as one JSON document."""


@dataclass(frozen=True)
class RunsCommand:
    """List the runs, newest first, with state and test accuracy on all, base and new classes.

    HM is the harmonic mean of base and new.
    """

    root: MaybePath = None
    """Folder of runs; by default MOCOOP_RUNS or ./runs, and the runs that come with MoCoOp."""
    json: bool = False
    """Print one JSON document."""


def evaluate(command: EvaluateCommand) -> None:
    """Tests a finished run on its test images, or on those of another data set."""
    path = find_run(command.run)
    if command.data is not None:
        _evaluate_on(path, command.data, command)
        return
    import_slow()
    from mocoop.classifiers.saved import (
        check_same_data,
        open_classifier,
        run_encoder,
        run_features,
    )
    from mocoop.clip.backbone import load_backbone
    from mocoop.datasets import load_dataset
    from mocoop.evaluation.evaluate import evaluate as evaluation_of
    from mocoop.evaluation.evaluate import route_items
    from mocoop.evaluation.test_results import choices_of, choices_tested
    from mocoop.runs.run import Run

    run = Run(path)
    setup = run.setup()
    backbone = load_backbone(setup.config.backbone, "auto")
    classifier = open_classifier(run, loaded=backbone)
    dataset = load_dataset(setup.config.data)
    choices = (command.classes,) if command.classes else choices_tested(setup.config, dataset)
    choices = choices or choices_of(setup.config)  # without test images, which is told
    check_same_data(run, setup, dataset, backbone)
    encoder = run_encoder(run, backbone)
    cache = run_features(run, encoder)
    results: dict[str, Any] = {}
    for choice in choices:
        with progress_bar(not command.json, "encoding images") as progress:
            items = route_items(classifier, dataset, cache, choice, progress=progress)
        results[choice] = asdict(evaluation_of(items, choice))
    chosen = chosen_on_test(setup.config, {KEY: dataset.val_is_test})
    if command.json:
        print_json({"run": str(run.path), "results": results, "chosen_on_test": chosen or None})
    else:
        print_results(results, details=True, chosen=chosen)


def _evaluate_on(path: Path, data: str, command: EvaluateCommand) -> None:
    """Tests a finished run on another data set, with that set's class names."""
    import_slow()
    from mocoop.datasets import load_dataset
    from mocoop.evaluation.transfer import measure_on
    from mocoop.runs.run import Run

    run, dataset = Run(path), load_dataset(data)
    choice = command.classes or "all"
    with progress_bar(not command.json, "encoding images") as progress:
        found = measure_on(run, dataset, choice, progress=progress)
    results: dict[str, Any] = {choice: asdict(found)}
    config = run.setup().config
    own = dataset.source == config.data  # only there are its test images those it chose on
    chosen = chosen_on_test(config, {KEY: dataset.val_is_test}) if own else ""
    if command.json:
        more = {"data": dataset.source, "results": results, "chosen_on_test": chosen or None}
        print_json({"run": str(run.path)} | more)
    else:
        print(f"trained on {config.data}, tested on {dataset.name}")
        print_results(results, details=True, chosen=chosen)


def runs(command: RunsCommand) -> None:
    """Lists the runs, newest first."""
    from mocoop.runs.run import damaged_runs, list_runs

    roots = None if command.root is None else [command.root]
    rows = []
    for run in list_runs(roots):
        with suppress(UserError):  # it was deleted in the meantime
            rows.append(_row(run, run.status()))
    rows += [_unreadable(run, error) for run, error in damaged_runs(roots).items()]
    if command.json:
        print_json(rows)
    elif rows:
        print_runs(rows)
    else:
        print("No runs yet. Train one with `mocoop train`.")


def _unreadable(run: Run, error: UserError) -> dict[str, Any]:
    """Returns the line of a run whose status cannot be read, or that a newer version wrote."""
    numbers = {"epoch": 0, "epochs": 0, **main_accuracies({})}
    state = state_without_status(error)
    said = error.said.strip() if isinstance(error, NewerError) else str(error)
    return {"run": run.name, "path": str(run.path), "state": state, **numbers, "message": said}


def _row(run: Run, status: Status) -> dict[str, Any]:
    """Returns a run's line; without accuracies if its results cannot be read.

    Raises:
        UserError: if the run was deleted in the meantime.
    """
    message = status.message
    if status.state == QUEUED:
        message = f"waits for {counted(len(ahead_of(run.path)), 'other training')}"
    try:
        accuracies = main_accuracies(run.results())
    except UserError as error:
        accuracies, message = main_accuracies({}), f"{message} {error}".strip()
    return {
        "run": run.name,
        "path": str(run.path),
        "state": status.state,
        "epoch": status.epoch,
        "epochs": status.epochs,
        **accuracies,
        "message": message,
    }

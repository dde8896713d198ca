"""What train, resume and demo-clip do, from their options to what they print.

Heavy modules are imported where they are used, after names and paths were checked, so that
every command starts quickly and a mistake is told at once.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import tyro
import yaml

from mocoop.assets import asset
from mocoop.cli.console import print_json, print_results, progress_bar
from mocoop.cli.option_types import MaybePath, RunName
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.runs.paths import find_run, short_name
from mocoop.runs.status import FINISHED, STATUS_FILE, read_status
from mocoop.templates import as_groups
from mocoop.training.demo_config import DemoClipConfig

if TYPE_CHECKING:
    from mocoop.training.loop import EpochRecord


@dataclass(frozen=True)
class TrainCommand:
    """Train a run: few-shot images, soft prompts, router; then test it.

    Examples:
        mocoop train --data pictographs --method mocoop --shots 16 --seed 1
        mocoop train --data ~/photos --method coop --run runs/my-photos
        mocoop train --data faces --classes base        (base-to-new: then also tests new)
    """

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    run: MaybePath = None
    """Folder of the new run; by default a new one under MOCOOP_RUNS or ./runs."""
    templates: MaybePath = None
    """YAML file of template groups (name: [templates ...]) instead of the data set's own."""
    config: MaybePath = None
    """JSON file of settings to start from, such as a run's own; options override it."""
    json: bool = False
    """Print the results as one JSON document."""
    quiet: bool = False
    """No progress bar and no text."""
    wait: bool = False
    """Wait in the app's queue until every other training of the folder of runs is done."""


@dataclass(frozen=True)
class ResumeCommand:
    """Go on with a run that was interrupted or cancelled, from its last saved epoch.

    On a CPU the outcome is, bit for bit, that of the run had it not stopped.
    """

    run: RunName
    """Folder or name of the run."""
    json: bool = False
    """Print the results as one JSON document."""
    quiet: bool = False
    """No progress bar and no text."""


@dataclass(frozen=True)
class DemoClipCommand:
    """Train the small CLIP of the built-in demo, on pictures drawn while it trains."""

    settings: Annotated[DemoClipConfig, tyro.conf.arg(name="")] = field(
        default_factory=DemoClipConfig
    )
    out: Path = field(default_factory=lambda: asset("demo-clip"))
    """Folder for weights, config and model card."""
    json: bool = False
    """Print the last record as JSON."""


def train(command: TrainCommand) -> None:
    """Trains and tests a run.

    Raises:
        UserError: for anything that does not fit; no run is left then.
        KeyboardInterrupt: when it is stopped; the run is marked cancelled.
    """
    from mocoop.datasets import check_name

    config = command.settings
    if command.templates is not None:
        config = _with_templates(config, command.templates)
    if command.run is None or not (command.run / STATUS_FILE).exists():
        check_name(config.data)  # of a queued run, run_experiment also notes down the failure
    from mocoop.runs.run import new_run_path
    from mocoop.training.experiment import run_experiment

    path = command.run or new_run_path(config)
    if command.wait:
        _wait_in_queue(path)
    with progress_bar(not command.quiet, "encoding images") as encoding:
        training = run_experiment(config, path, encoding=encoding)
        _follow(training, path, config.epochs, command)


def resume(command: ResumeCommand) -> None:
    """Goes on with a run that stopped; says so where there is nothing left to do.

    Raises:
        UserError: if it has nothing to go on from, or what it learns from has changed.
        KeyboardInterrupt: when it is stopped; the run is marked cancelled.
    """
    path = find_run(command.run)
    status = read_status(path)
    if status.state == FINISHED:
        if not command.json and not command.quiet:
            print(f"Run {short_name(path)} is finished: there is nothing to go on with.")
        _tell(path, command)
        return
    from mocoop.training.experiment import resume_experiment

    with progress_bar(not command.quiet, "encoding images") as encoding:
        training = resume_experiment(path, encoding=encoding)
        _follow(training, path, status.epochs, command)


def _wait_in_queue(path: Path) -> None:
    """Returns when it is a new run's turn; a run that nobody waits for any more is removed.

    Raises:
        UserError: if the run was taken out of the queue meanwhile, or cannot be written.
    """
    from mocoop.runs.queue import wait_for_turn
    from mocoop.runs.writer import queue_run
    from mocoop.storage.atomic import explain_write_errors

    with explain_write_errors(path.parent):
        run = queue_run(path)
    try:
        turn = wait_for_turn(run.path)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    if not turn:
        raise UserError(f"Run {run.name} was taken out of the queue.")


def _follow(
    training: Iterator[EpochRecord],
    path: Path,
    epochs: int,
    command: TrainCommand | ResumeCommand,
) -> None:
    """Runs a training to its end, shows how far it is, and prints its results."""
    from tqdm import tqdm

    from mocoop.training.experiment import Cancelled

    def stop(signum: int, frame: object) -> NoReturn:
        raise Cancelled

    signal.signal(signal.SIGTERM, stop)
    bar: tqdm | None = None
    try:
        for record in training:
            # Made only now, so that a mistake in the settings is told without a bar.
            bar = bar or tqdm(total=epochs, unit="epoch", disable=command.quiet or not epochs)
            bar.update(record.epoch - bar.n)
            accuracies = {"val": record.val_accuracy, "train": record.train_accuracy}
            bar.set_postfix({k: f"{v:.1f}" for k, v in accuracies.items() if v is not None})
    except (Cancelled, KeyboardInterrupt) as error:
        raise KeyboardInterrupt(_how_to_go_on(path)) from error
    finally:
        if bar is not None:
            bar.close()
    _tell(path, command)


def _how_to_go_on(path: Path) -> str:
    """Returns what a run that was stopped has, and the command that goes on with it."""
    from mocoop.training.snapshots import saved_epoch

    epoch = saved_epoch(path)
    if epoch is None:
        return "stopped; nothing was saved yet that could be gone on with"
    return f"stopped after epoch {epoch}; go on with: mocoop resume {short_name(path)}"


def _tell(path: Path, command: TrainCommand | ResumeCommand) -> None:
    """Prints a finished run's results and what can be done next."""
    from mocoop.datasets.splits import shots_missing
    from mocoop.runs.chosen_on_test import chosen_on_test
    from mocoop.runs.run import Run

    results, setup = Run(path).results(), Run(path).setup()
    if command.json:
        print_json({"run": str(path), "results": results})
    elif not command.quiet:
        print(f"run: {path}")
        print_results(results, chosen=chosen_on_test(setup.config, results))
        drawn = results.get("training_images")
        missing = drawn and shots_missing(setup.config, setup.trained_classes, drawn)
        if missing:
            print(f"trained on {missing}")
        print(f"see more: mocoop evaluate {short_name(path)}, or the app's page Routing")


def _with_templates(config: TrainConfig, path: Path) -> TrainConfig:
    """Returns the settings with the template groups of a YAML file."""
    try:
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"Templates file {path} cannot be read: {error}.") from error
    if not isinstance(groups, dict):
        raise UserError(
            f"Templates file {path}: expected lines such as 'photo: [\"a photo of a {{}}.\"]'."
        )
    return replace(config, groups=as_groups(groups))


def demo_clip(command: DemoClipCommand) -> None:
    """Trains the small CLIP of the built-in demo."""
    from tqdm import tqdm

    from mocoop.training.demo_clip import train_demo_clip

    record: dict[str, Any] = {}
    shown: dict[str, str] = {}
    with tqdm(total=command.settings.steps, unit="step", disable=command.json) as bar:
        for record in train_demo_clip(command.settings, command.out):
            bar.update()
            shown["loss"] = f"{record['loss']:.2f}"
            if "accuracy" in record:
                shown["accuracy"] = f"{record['accuracy']:.1f}"
            bar.set_postfix(shown)
    if command.json:
        print_json(record | {"folder": str(command.out)})
    else:
        print(f"saved in {command.out}; its README.md has the accuracy of every style")

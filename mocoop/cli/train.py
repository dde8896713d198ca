"""The commands train, resume and demo-clip: train runs, continue them, train the small CLIP.

Slow modules are imported inside functions, after names and paths have been checked. So every
command starts quickly and reports mistakes at once.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import tyro

from mocoop.assets import asset
from mocoop.cli.console import print_json, print_results, progress_bar
from mocoop.cli.devices import train_on_devices
from mocoop.cli.option_types import MaybePath, RunName
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.runs.paths import find_run, short_name
from mocoop.runs.status import FINISHED, STATUS_FILE, read_status
from mocoop.slow_imports import import_slow
from mocoop.small_clip.config import SmallClipConfig
from mocoop.templates import groups_in

if TYPE_CHECKING:
    from mocoop.training.loop import EpochRecord

SEARCHING = "searching the numbers of tokens"


@dataclass(frozen=True)
class TrainCommand:
    """Train soft prompts and a router on a few images per class, then test the run.

    Defaults are those of the method's recipe for the CLIP. This help shows them for --method and
    --backbone as given before --help, otherwise for mocoop with the built-in CLIP: for example
    `mocoop train --method coop --help`. `mocoop tune --help` says how recipes are chosen.

    Examples:
        mocoop train --data albums --method mocoop --shots 16 --seed 1
        mocoop train --data ~/photos --method coop --run runs/my-photos
        mocoop train --data faces --classes base        (base-to-new: also tests new classes)
    """

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    run: MaybePath = None
    """Folder of the new run; by default a new one under MOCOOP_RUNS or ./runs."""
    templates: MaybePath = None
    """YAML file of template groups (name: [templates ...]) to use instead of the data set's."""
    config: MaybePath = None
    """JSON file of settings to start from, such as a run's config.json; options override it."""
    json: bool = False
    """Print the results as one JSON document."""
    quiet: bool = False
    """Show no progress bar and print no text."""
    wait: bool = False
    """Wait in the app's queue until all other trainings in this folder of runs are done."""
    devices: int = 1
    """Number of GPUs of this machine, or of processes with --device cpu, that share one training:
    each encodes the prompts of its classes. Over several machines: torchrun -m mocoop train."""


@dataclass(frozen=True)
class ResumeCommand:
    """Continue a run that was interrupted or cancelled, from its last saved epoch.

    On a CPU, the result is bit for bit that of a run without interruption.
    """

    run: RunName
    """Folder or name of the run."""
    json: bool = False
    """Print the results as one JSON document."""
    quiet: bool = False
    """Show no progress bar and print no text."""


@dataclass(frozen=True)
class DemoClipCommand:
    """Train the small CLIP of the built-in demo on scenes that are drawn during training.

    A training that was interrupted goes on from its last evaluation.
    """

    settings: Annotated[SmallClipConfig, tyro.conf.arg(name="")] = field(
        default_factory=SmallClipConfig
    )
    out: Path = field(default_factory=lambda: asset("demo-clip"))
    """Folder for the weights, the config and the model card."""
    json: bool = False
    """Print the record of the last step as JSON."""


def train(command: TrainCommand) -> None:
    """Trains and tests a run.

    Raises:
        UserError: if a setting or the data are not valid; no run is left then.
        KeyboardInterrupt: if the training is stopped; the run is marked as cancelled.
    """
    from mocoop.datasets import check_name

    config = command.settings
    if command.templates is not None:
        config = with_templates(config, command.templates)
    if command.run is None or not (command.run / STATUS_FILE).exists():
        check_name(config.data)  # for a queued run, run_experiment checks and records a failure
    import_slow()
    from mocoop.training.ranks import check_can_be_shared, ranks_asked_for

    if command.devices < 1:
        raise UserError(f"devices must be at least 1; got {command.devices}.")
    if command.devices > 1:
        check_can_be_shared(config)
    if ranks_asked_for().rank > 0:
        _help_to_train(config)
        return
    with _folder(command, config) as path:
        if command.wait:
            _wait_in_queue(path)
        if command.devices > 1:
            options = [f"--{name}" for name in ("json", "quiet") if getattr(command, name)]
            train_on_devices(config, path, command.devices, options)
        else:
            _train_here(config, path, command)


def _folder(command: TrainCommand, config: TrainConfig) -> AbstractContextManager[Path]:
    """Returns a context with the run's folder; a folder that was not named is reserved.

    A named one is reserved only in order to wait: it may be of a queued run, whose turn it is.
    """
    from mocoop.runs.reserve import reserved, reserved_at

    if command.run is None:
        return reserved(config)
    return reserved_at(command.run) if command.wait else nullcontext(command.run)


def _train_here(config: TrainConfig, path: Path, command: TrainCommand) -> None:
    """Trains a run in this process, with others if they have been started."""
    from mocoop.training.experiment import run_experiment
    from mocoop.training.ranks import joined

    with (
        joined(config),
        progress_bar(not command.quiet, "encoding images") as encoding,
        progress_bar(not command.quiet, SEARCHING, "epoch") as searching,
    ):
        training = run_experiment(config, path, encoding=encoding, searching=searching)
        _follow(training, path, config.epochs, command)


def _help_to_train(config: TrainConfig) -> None:
    """Trains a run together with the process that writes it, and ends with the training."""
    from mocoop.training.experiment import run_experiment
    from mocoop.training.ranks import joined

    with tempfile.TemporaryDirectory(prefix="mocoop-rank-") as folder, joined(config):
        training = run_experiment(config, Path(folder) / "run")
        for record in training:
            if record.epoch == config.epochs:
                break
        training.close()


def resume(command: ResumeCommand) -> None:
    """Continues a run that stopped. For a finished run, says so and prints its results.

    Raises:
        UserError: if no epoch was saved, or the run's data or model have changed.
        KeyboardInterrupt: if the training is stopped; the run is marked as cancelled.
    """
    path = find_run(command.run)
    status = read_status(path)
    if status.state == FINISHED:
        if not command.json and not command.quiet:
            print(f"Run {short_name(path)} is finished already: there is nothing to resume.")
        _print_outcome(path, command)
        return
    import_slow()
    from mocoop.training.experiment import resume_experiment

    with (
        progress_bar(not command.quiet, "encoding images") as encoding,
        progress_bar(not command.quiet, SEARCHING, "epoch") as searching,
    ):
        training = resume_experiment(path, encoding=encoding, searching=searching)
        _follow(training, path, status.epochs, command)


def _wait_in_queue(path: Path) -> None:
    """Returns when a queued run may start.

    Raises:
        UserError: if the run was removed from the queue.
    """
    from mocoop.runs.queue import wait_for_turn

    if not wait_for_turn(path):
        raise UserError(f"Run {path.name} was removed from the queue before it could start.")


def _follow(
    training: Iterator[EpochRecord],
    path: Path,
    epochs: int,
    command: TrainCommand | ResumeCommand,
) -> None:
    """Runs a training to its end, shows its progress, and prints its results."""
    from tqdm import tqdm

    from mocoop.training.experiment import Cancelled

    def stop(signum: int, frame: object) -> NoReturn:
        raise Cancelled

    signal.signal(signal.SIGTERM, stop)
    bar: tqdm | None = None
    try:
        for record in training:
            # Made only now, so that an error in the settings is reported without a bar.
            bar = bar or tqdm(total=epochs, unit="epoch", disable=command.quiet or not epochs)
            bar.update(record.epoch - bar.n)
            accuracies = {"val": record.val_accuracy, "train": record.train_accuracy}
            bar.set_postfix({k: f"{v:.1f}" for k, v in accuracies.items() if v is not None})
    except (Cancelled, KeyboardInterrupt) as error:
        raise KeyboardInterrupt(_how_to_resume(path)) from error
    finally:
        if bar is not None:
            bar.close()
    _print_outcome(path, command)


def _how_to_resume(path: Path) -> str:
    """Returns the last saved epoch of a stopped run, and the command that continues the run."""
    from mocoop.training.snapshots import saved_epoch

    epoch = saved_epoch(path)
    if epoch is None:
        return "stopped before the first epoch was saved, so this run cannot be resumed"
    return f"stopped after epoch {epoch}; continue with: mocoop resume {short_name(path)}"


def _print_outcome(path: Path, command: TrainCommand | ResumeCommand) -> None:
    """Prints a finished run's results and a next step."""
    from mocoop.datasets.splits import shots_missing
    from mocoop.methods import METHODS
    from mocoop.runs.chosen_on_test import chosen_on_test
    from mocoop.runs.expert_steps import choice_in_words
    from mocoop.runs.run import Run

    results, setup = Run(path).results(), Run(path).setup()
    if command.json:
        print_json({"run": str(path), "results": results})
    elif not command.quiet:
        print(f"run: {path}")
        if setup.expert_steps:
            print(f"experts: {choice_in_words(setup.expert_steps)}")
        print_results(results, chosen=chosen_on_test(setup.config, results))
        # A method that learns from no images has drawn them all the same.
        drawn = METHODS[setup.config.method].needs_images and results.get("training_images")
        missing = drawn and shots_missing(setup.config, setup.trained_classes, drawn)
        if missing:
            print(f"trained on {missing}")
        print(f"for more: mocoop evaluate {short_name(path)}, or open it in the app")


def with_templates(config: TrainConfig, path: Path) -> TrainConfig:
    """Returns the settings with the template groups in a YAML file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"Templates file {path} cannot be read: {error}.") from error
    return replace(config, groups=groups_in(content, str(path)))


def demo_clip(command: DemoClipCommand) -> None:
    """Trains the small CLIP of the built-in demo, then measures it and writes its model card."""
    from tqdm import tqdm

    from mocoop.small_clip.card import write_card
    from mocoop.small_clip.training import train_small_clip

    record: dict[str, float] = {}
    shown: dict[str, str] = {}
    with tqdm(total=command.settings.steps, unit="step", disable=command.json) as bar:
        for record in train_small_clip(command.settings, command.out):
            bar.update(int(record["step"]) - bar.n)
            shown["loss"] = f"{record['loss']:.2f}"
            if "by_role" in record:
                shown["by role"] = f"{record['by_role']:.1f}"
            bar.set_postfix(shown)
    card = write_card(command.out)
    if command.json:
        print_json(record | {"folder": str(command.out)})
    else:
        print(f"saved in {command.out}; {card.name} lists what it knows in every role and style")

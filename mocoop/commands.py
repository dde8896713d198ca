"""What each command does, from its options to what it prints.

Heavy modules are imported where they are used, so that every command starts quickly.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.options import (
    DemoClipCommand,
    EvaluateCommand,
    PredictCommand,
    ResumeCommand,
    RunsCommand,
    TrainCommand,
)
from mocoop.report import main_accuracy, print_answers, print_json, print_results, progress_bar
from mocoop.status import QUEUED
from mocoop.templates import as_groups

if TYPE_CHECKING:
    from mocoop.trainer import EpochRecord


def train(command: TrainCommand) -> None:
    """Trains and tests a run.

    Raises:
        UserError: for anything that does not fit; no run is left then.
        KeyboardInterrupt: when it is stopped; the run is marked cancelled.
    """
    from mocoop.experiment import run_experiment
    from mocoop.runs import new_run_path

    config = command.settings
    if command.templates is not None:
        config = _with_templates(config, command.templates)
    path = command.run or new_run_path(config)
    if command.wait:
        _wait_in_queue(path)
    _follow(run_experiment(config, path), path, config.epochs, command)


def resume(command: ResumeCommand) -> None:
    """Goes on with a run that stopped.

    Raises:
        UserError: if it has nothing to go on from, or what it learns from has changed.
        KeyboardInterrupt: when it is stopped; the run is marked cancelled.
    """
    from mocoop.experiment import resume_experiment
    from mocoop.runs import open_run

    run = open_run(command.run)
    _follow(resume_experiment(run.path), run.path, run.status().epochs, command)


def _wait_in_queue(path: Path) -> None:
    """Returns when it is a new run's turn; a run that nobody waits for any more is removed.

    Raises:
        UserError: if the run was taken out of the queue meanwhile, or cannot be written.
    """
    from mocoop.files import unwritable_in_words
    from mocoop.run_writer import queue_run
    from mocoop.turns import wait_for_turn

    with unwritable_in_words(path.parent):
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

    from mocoop.experiment import Cancelled
    from mocoop.runs import Run

    def stop(signum: int, frame: object) -> NoReturn:
        raise Cancelled

    signal.signal(signal.SIGTERM, stop)
    bar: tqdm | None = None
    try:
        for record in training:
            # Made only now, so that a mistake in the settings is told without a bar.
            bar = bar or tqdm(total=epochs, unit="epoch", disable=command.quiet)
            bar.update(record.epoch - bar.n)
            accuracies = {"val": record.val_accuracy, "train": record.train_accuracy}
            bar.set_postfix({k: f"{v:.1f}" for k, v in accuracies.items() if v is not None})
    except Cancelled as error:
        raise KeyboardInterrupt from error
    finally:
        if bar is not None:
            bar.close()
    results = Run(path).results()
    if command.json:
        print_json({"run": str(path), "results": results})
    elif not command.quiet:
        print(f"run: {path}")
        print_results(results)


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


def evaluate(command: EvaluateCommand) -> None:
    """Tests a finished run on its test images."""
    from mocoop.backbone import load_backbone
    from mocoop.classifiers import open_classifier, run_backbone
    from mocoop.datasets import load_dataset
    from mocoop.evaluate import check_same_data, route_items
    from mocoop.evaluate import evaluate as evaluation_of
    from mocoop.features import FeatureCache
    from mocoop.model import PRECISIONS
    from mocoop.runs import open_run

    run = open_run(command.run)
    classifier, setup = open_classifier(run), run.setup()
    usual = ("all",) if setup.config.classes == "all" else ("base", "new")
    choices = usual if command.classes is None else (command.classes,)
    dataset = load_dataset(setup.config.data)
    backbone = load_backbone(setup.config.backbone, "auto")
    check_same_data(run, setup, dataset, backbone)
    precision = PRECISIONS[setup.config.precision]
    cache = FeatureCache(run_backbone(run, backbone), precision=precision)
    results: dict[str, Any] = {}
    for choice in choices:
        with progress_bar(not command.json, "encoding images") as progress:
            found = route_items(classifier, dataset, cache, choice, progress=progress)
        results[choice] = asdict(evaluation_of(found, choice))
    if command.json:
        print_json({"run": str(run.path), "results": results})
    else:
        print_results(results, details=True)


def predict(command: PredictCommand) -> None:
    """Classifies image files with a finished run; the text tower is not needed."""
    from mocoop.classifiers import open_classifier, run_backbone
    from mocoop.images import open_image
    from mocoop.predict import encode_images
    from mocoop.runs import open_run

    if not command.images:
        raise UserError("Expected at least one image file after the run.")
    run = open_run(command.run)
    classifier = open_classifier(run)
    opened = [open_image(path) for path in command.images]
    backbone = run_backbone(run)
    routed = classifier.classify(encode_images(backbone, [image for image, _ in opened]))
    answers = []
    for index, (path, (_, notes)) in enumerate(zip(command.images, opened, strict=True)):
        row = routed.probabilities[index]
        order = row.argsort(descending=True).tolist()
        scores = dict(zip(routed.experts, routed.scores[index].tolist(), strict=True))
        answers.append(
            {
                "image": str(path),
                "label": routed.class_names[order[0]],
                "probabilities": {routed.class_names[c]: float(row[c]) for c in order},
                "experts": dict(routed.chosen(index)),
                "expert_scores": scores,
                "notes": notes,
            }
        )
    if command.json:
        print_json({"run": str(run.path), "images": answers})
    else:
        print_answers(answers, command.top)


def runs(command: RunsCommand) -> None:
    """Lists the runs, newest first."""
    from mocoop.runs import list_runs
    from mocoop.turns import ahead_of

    rows = []
    for run in list_runs(None if command.root is None else [command.root]):
        status = run.status()
        message = status.message
        if status.state == QUEUED:
            message = f"after {len(ahead_of(run.path))} other"
        rows.append(
            {
                "run": run.name,
                "path": str(run.path),
                "state": status.state,
                "epoch": status.epoch,
                "epochs": status.epochs,
                "accuracy": main_accuracy(run.results()),
                "message": message,
            }
        )
    if command.json:
        print_json(rows)
        return
    if not rows:
        print("No runs yet. Train one with `mocoop train`.")
    for row in rows:
        accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.1f} %"
        progress = f"{row['epoch']}/{row['epochs']}"
        print(f"{row['run']:<44} {row['state']:<12} {progress:>8} {accuracy:>8}  {row['message']}")


def demo_clip(command: DemoClipCommand) -> None:
    """Trains the small CLIP of the built-in demo."""
    from tqdm import tqdm

    from mocoop.demo_clip import train_demo_clip

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

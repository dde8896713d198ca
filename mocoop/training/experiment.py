"""A run from settings to results: the one place where data, model and run store meet."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from mocoop.classifiers.assemble import classifier_of_fit, classifier_of_model
from mocoop.classifiers.prompts import learned_state
from mocoop.clip.backbone import Backbone
from mocoop.clip.device import tower_dtype
from mocoop.clip.image_layer_norms import with_norms
from mocoop.config import TrainConfig
from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.evaluation.test_results import results_on_test, zero_shot_on_test
from mocoop.features.cache import FeatureCache, Progress
from mocoop.method_record import TEMPLATES
from mocoop.methods import METHODS
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.model.mixture import PromptMixture, build_model
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.run import Run, SavedFeatures
from mocoop.runs.status import CANCELLED, QUEUED
from mocoop.runs.writer import RunWriter, mark_failed
from mocoop.storage.atomic import explain_write_errors
from mocoop.training.baselines import fit_baseline
from mocoop.training.loop import EpochRecord, TrainingData, fit
from mocoop.training.optimizer import DivergedError, PromptOptimizer
from mocoop.training.prepare import Prepared, prepare, training_data
from mocoop.training.snapshots import (
    Snapshot,
    drop_snapshot,
    load_kept,
    load_snapshot,
    save_kept,
    save_snapshot,
    training_fingerprint,
)

STATUS_SECONDS = 1.0  # between two words on how far the images are encoded
Gates = dict[int, dict[str, torch.Tensor]]
"""Epoch → the router's parameters."""
SNAPSHOT_SECONDS = 2.0  # between two snapshots: what a stop may cost, and little to write


class Cancelled(BaseException):
    """Raised into a training that someone stops; no error of anybody's."""


def run_experiment(
    config: TrainConfig,
    path: Path,
    cache_folder: Path | None = None,
    encoding: Progress | None = None,
    dataset: Dataset | None = None,
    backbone: Backbone | None = None,
) -> Iterator[EpochRecord]:
    """Trains and evaluates a run in a folder, yielding a record per epoch.

    The folder's status follows: running, then finished, cancelled or failed; a process that
    is killed leaves a run that reads as interrupted.

    Args:
        config: the settings.
        path: the run's folder.
        cache_folder: of image features; the usual one by default.
        encoding: called with images done and to do, while they are encoded.
        dataset: the data, where they are in memory; loaded by the name in the settings if None.
        backbone: the settings' CLIP on their device, where it is loaded already.

    Raises:
        UserError: for settings, data or weights that do not fit; nothing is written then,
            but a queued run is marked failed. For a full disk; the run has failed then.
    """
    ingredients = partial(prepare, config, dataset, backbone)
    yield from _run_with_status(ingredients, path, cache_folder, None, encoding)


def resume_experiment(
    path: Path, cache_folder: Path | None = None, encoding: Progress | None = None
) -> Iterator[EpochRecord]:
    """Goes on with a run that stopped, yielding a record for each of the epochs left.

    On a CPU the outcome is, bit for bit, that of the run had it not stopped.

    Raises:
        UserError: if there is nothing to go on from, or weights or images are no longer what
            the run was started with; what was saved is kept.
    """
    try:
        snapshot, config = load_snapshot(path), Run(path).setup().config
    except UserError as error:
        _fail_queued(path, error)
        raise
    yield from _run_with_status(partial(prepare, config), path, cache_folder, snapshot, encoding)


def _run_with_status(
    ingredients: Callable[[], Prepared],
    path: Path,
    cache_folder: Path | None,
    snapshot: Snapshot | None,
    encoding: Progress | None,
) -> Iterator[EpochRecord]:
    """Runs from settings to results and keeps the folder's status true."""
    try:
        prepared = ingredients()
        with explain_write_errors(path):
            writer = RunWriter(path, again=snapshot is not None)
    except UserError as error:
        _fail_queued(path, error)
        raise
    try:
        with explain_write_errors(path):
            progress = _status_progress(writer, encoding)
            yield from _train_and_test(prepared, writer, cache_folder, snapshot, progress)
    except (Cancelled, KeyboardInterrupt, GeneratorExit):
        writer.update(state=CANCELLED, message="stopped on request")
        raise
    except BaseException as error:
        writer.fail(str(error) or type(error).__name__)
        raise


def _train_and_test(
    prepared: Prepared,
    writer: RunWriter,
    cache_folder: Path | None,
    snapshot: Snapshot | None,
    progress: Progress,
) -> Iterator[EpochRecord]:
    config, dataset, backbone = prepared.config, prepared.dataset, prepared.backbone
    done = 0 if snapshot is None else snapshot.epoch
    writer.update(message="encoding the hard prompts", epoch=done, epochs=config.epochs)
    setup = prepared.setup()
    writer.save_setup(setup)
    hard = hard_features(backbone.text, prepared.groups, dataset.class_names)
    prototypes = group_prototypes(hard)  # (experts, classes, dim)
    precision = tower_dtype(config.precision, backbone.device)
    cache = FeatureCache(backbone, cache_folder, precision=precision, progress=progress)
    # Time spent before a stop counts, as if the training had begun that much earlier.
    started = time.perf_counter() - (0.0 if snapshot is None else snapshot.seconds)
    method = METHODS[config.method]
    if method.fits_image_features:
        writer.update(message="fitting")
        weights, record = fit_baseline(prepared, hard[0][0].cpu(), cache)
        classifier = classifier_of_fit(setup, weights)
        writer.add_record(asdict(record))
        writer.update(epoch=record.epoch)
        yield record
    else:
        writer.update(message="encoding the training images")
        generator = torch.Generator().manual_seed(config.seed)
        count = len(prepared.trained)
        model = build_model(config, backbone, prepared.groups, generator, count)
        data = training_data(prepared, hard, prototypes, cache)
        soft, gates = yield from _train(
            prepared, model, data, generator, writer, snapshot, started
        )
        weights = learned_state(model)
        if method.classifier == TEMPLATES:
            soft = {0: prototypes.cpu().clone()}
        hard_parts = tuple(part.cpu() for part in hard)
        saved = SavedFeatures(soft, hard_parts, prototypes.cpu(), gates)
        writer.save_features(saved)
        classifier = classifier_of_model(setup, model, backbone.text, soft=saved.last)
    images = len(prepared.train_items)
    spent = {"training_seconds": time.perf_counter() - started, "training_images": images}
    writer.save_weights(weights)
    writer.update(message="evaluating on the test images")
    seen = cache
    if config.tune_layer_norms:
        tuned = with_norms(backbone, weights)
        seen = FeatureCache(tuned, keep=False, precision=precision, progress=progress)
    results = results_on_test(classifier, config, dataset, seen, prototypes.cpu())
    for choice, accuracy in zero_shot_on_test(config, dataset, backbone, cache).items():
        if choice in results:
            results[choice]["zero_shot"] = accuracy
    writer.finish(results | spent)
    drop_snapshot(writer.run.path)


def _train(
    prepared: Prepared,
    model: PromptMixture,
    data: TrainingData,
    generator: torch.Generator,
    writer: RunWriter,
    snapshot: Snapshot | None,
    started: float,
) -> Generator[EpochRecord, None, tuple[dict[int, torch.Tensor], Gates]]:
    """Trains soft prompts; returns their features (experts, classes, dim) and gates by epoch."""
    config, backbone, folder = prepared.config, prepared.backbone, writer.run.path
    names = ClassTokens.from_names(backbone.text.tokens, prepared.dataset.class_names)
    fingerprint = training_fingerprint(prepared, data)
    stepper = PromptOptimizer(model, config) if config.epochs > 0 else None
    soft: dict[int, torch.Tensor] = {}
    gates: Gates = {}

    def keep(epoch: int) -> None:
        with torch.no_grad():
            soft[epoch] = model.text_features(backbone.text, names).cpu()
        if model.gate is not None:
            # Copies: on the CPU they would be the parameters, which go on learning.
            parameters = model.gate.state_dict(prefix="gate.")
            gates[epoch] = {name: value.cpu().clone() for name, value in parameters.items()}
        if stepper is not None:
            save_kept(folder, epoch, soft[epoch], gates.get(epoch, {}))

    done = 0
    if snapshot is not None and stepper is not None:
        if snapshot.fingerprint != fingerprint:
            raise UserError(
                f"Run {writer.run.name} cannot go on: its images or the CLIP's weights are not "
                "those that it was started with. Put them back, or train it again."
            )
        snapshot.restore(model, stepper, generator)
        done = snapshot.epoch
        soft, gates = load_kept(folder, done)
        writer.keep_records(done)
    saved = time.monotonic()
    try:
        for record in fit(model, backbone.text, data, config, generator, stepper, done):
            done = record.epoch
            if done == config.epochs or done % config.save_every == 0:
                keep(done)
            writer.add_record(asdict(record))
            due = done == config.epochs or time.monotonic() - saved >= SNAPSHOT_SECONDS
            if stepper is not None and due:
                spent = time.perf_counter() - started
                save_snapshot(
                    folder, Snapshot.capture(model, stepper, generator, done, spent, fingerprint)
                )
                saved = time.monotonic()
            writer.update(epoch=done, message="training")
            yield record
    except DivergedError:
        # The model went back to the last good weights: what was learnt so far is not lost.
        writer.save_weights(learned_state(model))
        drop_snapshot(folder)  # it would only diverge again
        raise
    return soft, gates


def _status_progress(writer: RunWriter, also: Progress | None) -> Progress:
    """Returns what writes into a run's status, once a second, how far the images are encoded.

    Args:
        writer: of the run.
        also: told of it every time.
    """
    told, before = 0.0, 0
    start = (0.0, 0)  # when these images began, and how many were done then

    def progress(done: int, total: int) -> None:
        nonlocal told, before, start
        if also is not None:
            also(done, total)
        now = time.monotonic()
        if done <= before or not before:
            start = (now, done)
        before = 0 if done == total else done
        if now - told < STATUS_SECONDS and done < total:
            return
        told = now
        rate = (done - start[1]) / (now - start[0]) if done > start[1] else 0.0
        speed = f", {rate:.0f} a second" if rate else ""
        writer.update(message=f"encoding images: {done} of {total}{speed}")

    return progress


def _fail_queued(path: Path, error: UserError) -> None:
    """Marks a queued run as failed with the reason; touches nothing else."""
    if (path / "status.json").exists() and Run(path).status().state == QUEUED:
        mark_failed(Run(path), str(error))

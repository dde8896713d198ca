"""A run from settings to test results: here data, model and run store come together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mocoop.classifiers.assemble import classifier_of_fit, classifier_of_model
from mocoop.classifiers.prompts import learned_state
from mocoop.clip.backbone import Backbone
from mocoop.clip.device import deterministic, tower_dtype
from mocoop.config import TrainConfig
from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.evaluation.test_results import (
    results_on_test,
    zero_shot_accuracy,
    zero_shot_on_test,
)
from mocoop.features.cache import FeatureCache, Progress
from mocoop.method_record import TEMPLATES
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.runs.chosen_lengths import KEY as LENGTHS
from mocoop.runs.features import SavedFeatures
from mocoop.runs.run import Run
from mocoop.runs.status import CANCELLED, QUEUED, STATUS_FILE
from mocoop.runs.writer import RunWriter, mark_failed
from mocoop.storage.atomic import explain_write_errors
from mocoop.training.baselines import Fit, fit_baseline
from mocoop.training.expert_choice import choose_experts
from mocoop.training.imported import Imported, imported_start
from mocoop.training.inputs import inputs_of
from mocoop.training.loop import EpochRecord
from mocoop.training.prepare import Prepared, prepare, training_data
from mocoop.training.prompt_training import train_prompts
from mocoop.training.ranks import in_turn, shared
from mocoop.training.search_stage import SearchStage
from mocoop.training.snapshots import (
    Snapshot,
    drop_needless_snapshots,
    drop_snapshot,
    load_snapshot,
    same_threads,
    training_fingerprint,
)

STATUS_SECONDS = 1.0  # between two status messages about encoded images
SNAPSHOT_SECONDS = 2.0  # between two snapshots: the most that a stop loses, and cheap to write


class Cancelled(BaseException):
    """Raised inside a training to stop it on request; it is not an error. Its text, if it has
    one, is the run's message.
    """


def run_experiment(
    config: TrainConfig,
    path: Path,
    cache_folder: Path | None = None,
    encoding: Progress | None = None,
    dataset: Dataset | None = None,
    backbone: Backbone | None = None,
    imported: Imported | None = None,
    searching: Progress | None = None,
    until: int | None = None,
) -> Generator[EpochRecord, None, None]:
    """Trains and evaluates a run in a folder and yields a record per epoch.

    The run's status is first running, then finished, cancelled or failed. If the process is
    killed, the run is reported as interrupted.

    Args:
        config: the settings.
        path: the run's folder.
        cache_folder: the cache of image features; the default cache if None.
        encoding: called with the numbers of encoded images and of all images, while images are
            encoded.
        dataset: the data; if None they are loaded by the name in the settings.
        backbone: the CLIP named in the settings; if None it is loaded onto their device.
        imported: prompts to start from; with `epochs` 0 they are only tested.
        searching: called with the numbers of epochs so far and of all epochs, while the numbers
            of tokens are searched for.
        until: an epoch after which a snapshot is written: the caller will pause the run there.

    Raises:
        UserError: for settings, data or weights that do not fit together: nothing is written,
            but a queued run is marked failed. Also for a full disk: the run is marked failed.
    """
    inputs = partial(prepare, config, dataset, backbone)
    yield from _run_with_status(
        inputs, path, cache_folder, None, encoding, imported, searching, until
    )


def resume_experiment(
    path: Path,
    cache_folder: Path | None = None,
    encoding: Progress | None = None,
    searching: Progress | None = None,
    until: int | None = None,
) -> Generator[EpochRecord, None, None]:
    """Continues a run that stopped and yields a record for each remaining epoch.

    On a CPU the result is equal, bit by bit, to that of a run that did not stop: it goes on with
    the run's own number of threads.

    Raises:
        UserError: if the run has no snapshot, or its images or weights have changed since it
            was started; the snapshot is kept.
    """
    try:
        snapshot, config = load_snapshot(path), Run(path).setup().config
    except UserError as error:
        _fail_queued(path, error)
        raise
    inputs = partial(prepare, config)
    yield from _run_with_status(
        inputs, path, cache_folder, snapshot, encoding, searching=searching, until=until
    )


def _run_with_status(
    inputs: Callable[[], Prepared],
    path: Path,
    cache_folder: Path | None,
    snapshot: Snapshot | None,
    encoding: Progress | None,
    imported: Imported | None = None,
    searching: Progress | None = None,
    until: int | None = None,
) -> Iterator[EpochRecord]:
    """Prepares, trains and tests a run, and keeps its status up to date."""
    try:
        prepared = inputs()
        with explain_write_errors(path):
            writer = RunWriter(path, resume=snapshot is not None)
            drop_needless_snapshots(path.parent)
    except UserError as error:
        _fail_queued(path, error)
        raise
    try:
        with (
            explain_write_errors(path),
            deterministic(prepared.config.deterministic),
            same_threads(snapshot),
        ):
            progress = _status_progress(writer, encoding)
            yield from _train_and_test(
                prepared, writer, cache_folder, snapshot, progress, imported, searching, until
            )
    except (Cancelled, KeyboardInterrupt, GeneratorExit) as stop:
        writer.update(state=CANCELLED, message=str(stop) or "stopped on request")
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
    imported: Imported | None = None,
    searching: Progress | None = None,
    until: int | None = None,
) -> Iterator[EpochRecord]:
    """Trains and tests a prepared run, writes its files and yields a record per epoch."""
    config, dataset, backbone = prepared.config, prepared.dataset, prepared.backbone
    done = 0 if snapshot is None else snapshot.epoch
    writer.update(message="encoding the hard prompts", epoch=done, epochs=config.epochs)
    precision = tower_dtype(config.precision, backbone.device)
    cache = FeatureCache(backbone, cache_folder, precision=precision, progress=progress)
    if snapshot is not None:
        imported = imported_start(writer.run)
    # The time before a stop counts too: the start is moved back by it.
    started = time.perf_counter() - (0.0 if snapshot is None else snapshot.seconds)
    earlier = None if snapshot is None else writer.run.setup().inputs
    inputs = inputs_of(prepared, cache_folder, earlier)
    if config.num_experts == "auto" and config.epochs and imported is None:
        prepared = _with_experts(prepared, cache, writer, resumed=snapshot is not None)
        config = prepared.config
    setup = replace(prepared.setup(), inputs=inputs)
    if imported is not None:
        setup = replace(setup, imported=imported.source)
    writer.save_setup(setup)
    hard = hard_features(backbone.text, prepared.groups, dataset.class_names)
    prototypes = group_prototypes(hard)  # (experts, classes, dim)
    method, search = METHODS[config.method], None
    if method.fits_image_features:
        writer.update(message="fitting")
        weights = yield from _fit(prepared, hard[0][0].cpu(), cache, writer)
        classifier = classifier_of_fit(setup, weights)
    else:
        writer.update(message="encoding the training images")
        generator = torch.Generator().manual_seed(config.seed)
        count = len(prepared.trained)
        model = build_model(config, backbone, prepared.groups, generator, count)
        if imported is not None:
            imported.put_into(model)
            if config.epochs and snapshot is None:
                imported.keep(writer.run)
        with in_turn():
            data = training_data(prepared, hard, prototypes, cache)
        if config.searches_lengths:
            stage = SearchStage(prepared, data, writer, started, SNAPSHOT_SECONDS, searching)
            model, search = stage.run(model, generator, snapshot)
        untrained_accuracy = zero_shot_accuracy(
            dataset, backbone, cache, prepared.val_items, prepared.trained
        )
        with shared(model, partial(training_fingerprint, prepared, data)):
            soft, gates = yield from train_prompts(
                prepared, model, data, generator, writer, snapshot, started, untrained_accuracy,
                search, until, SNAPSHOT_SECONDS,
            )  # fmt: skip
        weights = learned_state(model)
        if method.classifier == TEMPLATES:
            soft = {0: prototypes.cpu().clone()}
        hard_parts = tuple(part.cpu() for part in hard)
        saved = SavedFeatures(soft, hard_parts, prototypes.cpu(), gates)
        writer.save_features(saved)
        classifier = classifier_of_model(setup, model, backbone.text, soft=saved.last)
    images = len(prepared.train_items)
    spent: dict[str, Any] = {
        "training_seconds": time.perf_counter() - started,
        "training_images": images,
    }
    if search is not None:
        spent[LENGTHS] = search.values()
    writer.save_weights(weights)
    writer.update(message="evaluating on the test images")
    test_cache = cache
    if config.tunes_images:
        tuned = tuned_backbone(backbone, config, weights)
        test_cache = FeatureCache(tuned, keep=False, precision=precision, progress=progress)
    untrained = zero_shot_on_test(config, dataset, backbone, cache)
    results = results_on_test(classifier, config, dataset, test_cache, prototypes.cpu(), untrained)
    writer.finish(results | spent)
    drop_snapshot(writer.run.path)


def _with_experts(
    prepared: Prepared, cache: FeatureCache, writer: RunWriter, resumed: bool
) -> Prepared:
    """Returns the inputs of a run with chosen experts; those of a resumed run are known."""
    if resumed:
        return replace(prepared, expert_steps=writer.run.setup().expert_steps)
    chosen, steps = choose_experts(
        prepared,
        cache,
        lambda number: writer.update(message=f"choosing experts: short training {number}"),
    )
    return replace(chosen, expert_steps=steps)


def _fit(prepared: Prepared, text: torch.Tensor, cache: FeatureCache, writer: RunWriter) -> Fit:
    """Fits a method on image features; writes and yields its records, and returns the weights."""
    fit_steps = fit_baseline(prepared, text, cache)
    while True:
        try:
            record = next(fit_steps)
        except StopIteration as end:
            return end.value
        if record.epoch == 0 and prepared.config.epochs > 0:
            zero_shot = zero_shot_accuracy(
                prepared.dataset, prepared.backbone, cache, prepared.val_items, prepared.trained
            )
            record = replace(record, zero_shot=zero_shot)
        writer.add_record(asdict(record))
        writer.update(epoch=record.epoch, message="training" if record.epoch else "fitting")
        yield record


def _status_progress(writer: RunWriter, also: Progress | None) -> Progress:
    """Returns a function that writes the number of encoded images into a run's status.

    It writes at most once a second, and always when all images are encoded.

    Args:
        writer: writes the run's status.
        also: another function that is called with the same numbers, every time.
    """
    last_written, last_done = 0.0, 0
    start = (0.0, 0)  # time at which encoding of these images began, and images done by then

    def progress(done: int, total: int) -> None:
        nonlocal last_written, last_done, start
        if also is not None:
            also(done, total)
        now = time.monotonic()
        if done <= last_done or not last_done:
            start = (now, done)
        last_done = 0 if done == total else done
        if now - last_written < STATUS_SECONDS and done < total:
            return
        last_written = now
        rate = (done - start[1]) / (now - start[0]) if done > start[1] else 0.0
        speed = f", {rate:.0f} a second" if rate else ""
        writer.update(message=f"encoding images: {done} of {total}{speed}")

    return progress


def _fail_queued(path: Path, error: UserError) -> None:
    """Marks a run as failed with the reason if it waits for this process, and only then."""
    status = Run(path).status() if (path / STATUS_FILE).exists() else None
    if status is not None and status.state == QUEUED and status.pid == os.getpid():
        mark_failed(Run(path), str(error))

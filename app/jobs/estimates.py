"""How long a training will take, before it starts and while it runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from app.jobs.clip_work import clip_work
from mocoop.clip.backbone import choose_device
from mocoop.clip.device import choose_precision
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.datasets.splits import class_range, few_shot_items
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.model.hard_prompts import expert_groups
from mocoop.runs.run import Run, RunSetup
from mocoop.runs.status import FINISHED, RUNNING, Status
from mocoop.training.batches import step_counts

START_SECONDS = 5.0  # process, imports, backbone, hard prompts, test
ENCODE_SECONDS = 5e-3  # drawing and encoding an image of the demo's sets, once for all trainings
# The unit of work is one text, forward and backward. The numbers are for one CPU core and the
# demo CLIP.
DEMO_TEXT_SECONDS = 1.7e-4
DEMO_IMAGE_TEXTS = 60  # work of one image, forward and backward through the image tower, in texts
FORWARD = 0.5  # work of a forward pass, as a share of forward and backward
TWO_GRADIENTS = 1.6  # work of an epoch with a second gradient, relative to one without
LEAST_WORK = 0.3  # least work of an earlier run that counts, as a share of the new run's
SAME = ("backbone", "device", "precision")  # runs are comparable if these settings are equal
Earlier = Sequence[tuple[Run, RunSetup]]
"""Finished runs that are comparable, with their setups."""


@dataclass(frozen=True)
class Size:
    """How much there is to train and to test."""

    classes: int
    """Number of classes with training images."""
    names: int
    """Number of all class names."""
    experts: int
    images: int
    """Number of training images."""
    val_images: int
    test_images: int


def estimate_seconds(config: TrainConfig, size: Size, history: Sequence[Run] = ()) -> float | None:
    """Returns the estimated seconds of a training; None if nothing allows an estimate.

    The work of an epoch is counted in texts. The time per text comes from earlier runs with the
    same backbone, device and precision. Without such a run, the time of a full CLIP on a
    processor is estimated from the size of its towers; on a GPU there is no estimate then.

    Args:
        config: the settings of the training.
        size: how much would be trained and tested.
        history: earlier runs on this machine.
    """
    precision = choose_precision(config.precision, choose_device(config.device))
    config = replace(config, precision=precision)
    earlier = [(run, setup) for run in history if (setup := _finished(run, config)) is not None]
    start = START_SECONDS + _encoding(config, size, earlier)
    from_size = _from_the_towers(config, size, earlier)
    if from_size is not None:
        return from_size
    if METHODS[config.method].fits_image_features:
        fit = _fit_seconds(config, size, earlier)
        return None if fit is None else start + fit
    if config.epochs == 0:
        return start if config.backbone == "demo" else None
    known = [epoch for one in earlier if (epoch := _epoch_of(*one)) is not None]
    # The work of an image relative to a text is known for the demo CLIP only.
    known = [epoch for epoch in known if epoch[2] == config.image_cache] or (
        known if config.backbone == "demo" else []
    )
    certain = config.backbone == "demo" and config.precision == "fp32"
    if certain:  # tiny runs are mostly overhead and say nothing about a large one
        known = [epoch for epoch in known if epoch[1] >= LEAST_WORK * _work(config, size)]
    if known:
        # A ratio of sums, so that tiny runs, which are mostly overhead, have little influence.
        per_text = sum(seconds for seconds, *_ in known) / sum(work for _, work, _ in known)
    elif certain:
        per_text = DEMO_TEXT_SECONDS
    else:
        return None
    return start + per_text * (_rounds(config) * _work(config, size) + _evaluations(config, size))


def _from_the_towers(config: TrainConfig, size: Size, earlier: Earlier) -> float | None:
    """Returns the seconds with a full CLIP that was never trained with here, on a processor.

    None for the demo, on other devices, after a first run, and for unknown towers. The numbers
    of the demo CLIP are scaled, which is rough: large matrices are faster for their size.
    """
    if config.backbone == "demo" or choose_device(config.device).type != "cpu":
        return None
    work = clip_work(config.backbone)
    if work is None or earlier:
        return None
    images = size.images + size.val_images + size.test_images
    start = START_SECONDS + (ENCODE_SECONDS * work.image * images if config.image_cache else 0.0)
    method = METHODS[config.method]
    if method.fits_image_features:
        return start + method.seconds_per_image * work.feature * size.images
    live = 0.0 if config.image_cache else DEMO_IMAGE_TEXTS * (work.image - work.text)
    texts = _rounds(config) * (_work(config, size) * work.text + live * size.images)
    tests = _evaluations(config, size) * work.text
    return start + DEMO_TEXT_SECONDS * (texts + tests)


def seconds_left(status: Status, records: Sequence[Mapping[str, Any]]) -> float | None:
    """Returns the seconds until the end of the last epoch; None before the first epoch ends."""
    recent = [record["seconds"] for record in records if record["epoch"] > 0][-5:]
    if status.state != RUNNING or not recent:
        return None
    return statistics.median(recent) * (status.epochs - status.epoch)


def _fit_seconds(config: TrainConfig, size: Size, earlier: Earlier) -> float | None:
    """Returns the seconds in which a method is fitted in one step; they grow with the images."""
    known = []
    for run, setup in earlier:
        if setup.config.method != config.method:
            continue
        with suppress(UserError):  # its results are damaged, which its own page says
            images, spent = _images_of(run, setup), run.results().get("training_seconds")
            if images > 0 and spent is not None:
                known.append(spent / images)
    if known:
        return statistics.median(known) * size.images
    if config.backbone != "demo":
        return None
    return METHODS[config.method].seconds_per_image * size.images


def _encoding(config: TrainConfig, size: Size, earlier: Earlier) -> float:
    """Returns the seconds in which the demo CLIP encodes the set's images.

    None are needed if the features of an earlier run are still there, or if every epoch encodes
    the images.
    """
    if config.backbone != "demo" or not config.image_cache:
        return 0.0
    if any(setup.config.data == config.data for _, setup in earlier):
        return 0.0
    return ENCODE_SECONDS * (size.images + size.val_images + size.test_images)


def _epoch_of(run: Run, setup: RunSetup) -> tuple[float, float, bool] | None:
    """Returns a run's median seconds per epoch, its work in texts, and whether images were cached.

    None if the run does not help to estimate.
    """
    config = setup.config
    # A run on a single style does not record how many images it had.
    if METHODS[config.method].fits_image_features or config.style:
        return None
    try:
        epochs = [record["seconds"] for record in run.records() if record["epoch"] > 0]
        images = _images_of(run, setup)
    except UserError:
        return None  # its files are damaged, which its own page says
    if not epochs:
        return None
    classes = setup.trained_classes
    size = Size(classes, len(setup.class_names), len(setup.experts), images, 0, 0)
    return statistics.median(epochs), _work(config, size), config.image_cache


def _images_of(run: Run, setup: RunSetup) -> int:
    """Returns the number of training images of a finished run; runs of before do not say it."""
    return int(run.results().get("training_images", setup.config.shots * setup.trained_classes))


def _finished(run: Run, config: TrainConfig) -> RunSetup | None:
    """Returns a finished run's setup if its CLIP, device and precision are the same, or None."""
    try:
        setup = run.setup() if run.status().state == FINISHED else None
    except UserError:
        return None  # the run has another format
    if setup is None:
        return None
    same = all(getattr(setup.config, name) == getattr(config, name) for name in SAME)
    return setup if same else None


def _work(config: TrainConfig, size: Size) -> float:
    """Returns the work of an epoch in texts: all prompts in all steps, and uncached images."""
    names = size.names if config.text_weight > 0 and config.text_classes == "all" else size.classes
    steps: float = math.ceil(size.images / config.batch_size)
    images: float = size.images
    if config.steps_per_shot and config.epochs:
        steps = sum(step_counts(size.images, size.classes, config)) / config.epochs
        images = steps * config.batch_size
    static = steps * size.experts
    prompts = static
    if config.conditional:
        prompts = images * min(config.num_chosen, size.experts)
        prompts += static if config.text_weight > 0 else 0
    texts = prompts * names * (TWO_GRADIENTS if config.align_gradient else 1)
    return texts + (0 if config.image_cache else images * DEMO_IMAGE_TEXTS)


def _rounds(config: TrainConfig) -> int:
    """Returns the number of epochs; one of a search, with two batches a step, counts as two."""
    return config.epochs + (2 * config.length_epochs if config.searches_lengths else 0)


def _evaluations(config: TrainConfig, size: Size) -> float:
    """Returns the work of all validations and of the test, in texts."""
    # The value of routing is measured with all experts.
    shifted = 1 if size.experts == 1 else config.num_chosen + size.experts
    each = size.classes * shifted if config.conditional else 0
    each += 0 if config.image_cache else DEMO_IMAGE_TEXTS
    return FORWARD * each * ((config.epochs + 1) * size.val_images + size.test_images)


def check_together(config: TrainConfig, dataset: Dataset) -> Size:
    """Returns how much would be trained and tested.

    Raises:
        UserError: if the settings do not fit the data set.
    """
    groups = expert_groups(config, dataset.templates)
    config.check_num_chosen(len(groups))
    train, val = few_shot_items(config, dataset)
    method = METHODS[config.method]
    if method.needs_validation and not val:
        raise UserError(
            f"{method.label} is tuned on validation images, but {dataset.name} has none. Add "
            "some to the data set, or choose Tip-Adapter, which does not need any."
        )
    names = dataset.class_names
    return Size(
        len(class_range(config.classes, len(names))),
        len(names),
        len(groups),
        len(train),
        len(val),
        len(dataset.items("test")),
    )

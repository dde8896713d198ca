"""The functions of the public API; `import mocoop` provides them all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from os import PathLike
from typing import Any

from mocoop.classifiers.export import Exported
from mocoop.classifiers.export import load_export as open_export
from mocoop.classifiers.pictures import ImageClassifier
from mocoop.classifiers.saved import check_same_data, run_features
from mocoop.clip.backbone import Backbone
from mocoop.clip.backbone import load_backbone as open_backbone
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.datasets import load_dataset as open_dataset
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import Evaluation, route_items
from mocoop.evaluation.evaluate import evaluate as evaluation_of
from mocoop.evaluation.transfer import measure_on
from mocoop.presets import settings_from
from mocoop.runs import run as run_store
from mocoop.runs.reserve import reserved
from mocoop.runs.run import Run, open_run
from mocoop.training.experiment import resume_experiment, run_experiment
from mocoop.training.loop import EpochRecord
from mocoop.user_paths import user_path

OnEpoch = Callable[[EpochRecord], object]
AnyPath = str | PathLike[str]


def preset(method: str = "mocoop", **settings: Any) -> TrainConfig:
    """Returns the settings of a method: its recipe, changed by the given settings.

    Args:
        method: `mocoop`, `coop`, `kgcoop`, `linear-probe` …
        settings: any settings of `TrainConfig` by name, such as `data="details"`, `shots=4`.

    Raises:
        UserError: for an unknown method or setting, or an invalid value.

    >>> preset("coop", data="details", shots=4).shots
    4
    """
    return settings_from({"method": method} | settings)


def train(
    config: TrainConfig, path: AnyPath | None = None, on_epoch: OnEpoch | None = None
) -> Run:
    """Trains a model, tests it on the data set's test images and returns the finished run.

    Args:
        config: the settings, for example from `preset`.
        path: the run's new folder; by default a new one in MOCOOP_RUNS or ./runs.
        on_epoch: called with a record after every epoch.

    Raises:
        UserError: for settings, data or weights that do not fit together; nothing is written
            then.
    """
    named = None if path is None else user_path(str(path))
    with reserved(config) if named is None else nullcontext(named) as folder:
        for record in run_experiment(config, folder):
            if on_epoch is not None:
                on_epoch(record)
    return Run(folder)


def resume(run: Run | AnyPath, on_epoch: OnEpoch | None = None) -> Run:
    """Resumes a stopped run from its last snapshot and returns the finished run.

    Args:
        run: the run, its folder or its name.
        on_epoch: called with a record after every epoch.

    Raises:
        UserError: if there is no snapshot, or images or weights have changed since.
    """
    resumed = load_run(run)
    for record in resume_experiment(resumed.path):
        if on_epoch is not None:
            on_epoch(record)
    return resumed


def load_run(run: Run | AnyPath) -> Run:
    """Returns the run with a folder or name.

    Raises:
        UserError: if there is no such run.
    """
    return run if isinstance(run, Run) else open_run(str(run))


def list_runs(root: AnyPath | None = None) -> list[Run]:
    """Returns the runs, newest first.

    Args:
        root: a folder of runs; by default MOCOOP_RUNS or ./runs, and the runs that ship with
            MoCoOp.
    """
    return run_store.list_runs(None if root is None else [user_path(str(root))])


def load_classifier(run: Run | AnyPath, epoch: int | None = None) -> ImageClassifier:
    """Returns the classifier of a finished run; its `predict` takes images.

    Args:
        run: the run, its folder or its name.
        epoch: one of the saved epochs; the last if None.

    Raises:
        UserError: for a run that does not exist or is not finished, or whose CLIP has changed.
    """
    return ImageClassifier.from_run(load_run(run), epoch)


def evaluate(run: Run | AnyPath, classes: str = "all", data: AnyPath | None = None) -> Evaluation:
    """Returns the results of a finished run on its data set's test images, or on another's.

    Args:
        run: the run, its folder or its name.
        classes: `all`, or the `base` or `new` half; images are classified among these classes.
        data: another data set by its name or path; its class names replace those of the run.

    Raises:
        UserError: for a run, data or weights that do not fit together, classes without test
            images, or a method that works only with its own classes.
    """
    finished = load_run(run)
    if data is not None:
        return measure_on(finished, open_dataset(str(data)), classes)
    setup = finished.setup()
    opened, dataset = ImageClassifier.from_run(finished), open_dataset(setup.config.data)
    check_same_data(finished, setup, dataset, opened.encoder.backbone)
    cache = run_features(finished, opened.encoder)
    return evaluation_of(route_items(opened.classifier, dataset, cache, classes), classes)


def load_dataset(name: AnyPath) -> Dataset:
    """Returns the built-in or benchmark data set with a name, or the images in a folder.

    Raises:
        UserError: for an unknown name, or data with errors.
    """
    return open_dataset(str(name))


def load_backbone(name: AnyPath = "demo", device: str = "auto") -> Backbone:
    """Returns a frozen CLIP.

    Args:
        name: `demo`, an open_clip `NAME/TAG`, the path of a local checkpoint, or
            `hf-hub:OWNER/NAME`.
        device: `auto` (a GPU if there is one), `cpu`, `cuda` …

    Raises:
        UserError: for an unknown name, or weights that cannot be loaded.
    """
    return open_backbone(str(name), device)


def load_export(folder: AnyPath) -> Exported:
    """Returns a classifier exported by `mocoop export`; its `predict` takes images.

    Raises:
        UserError: for a folder without an exported classifier, or with damaged files.
    """
    path = user_path(str(folder))
    if not path.is_dir():
        raise UserError(f"{path}: no such folder. Expected a folder written by `mocoop export`.")
    return open_export(path)

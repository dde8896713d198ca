"""The grid of finished trainings for the lab's sliders: how it is trained, written and read.

- ``grid.json``: format, axes, recipes, and the CLIP's fingerprint.
- ``grid.safetensors.gz``: the tensors of all trainings' `LabRun`, stacked in the order of the
  axes; instead of summed confidences their means, in half precision.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from mocoop import __version__
from mocoop.assets import asset, check_if_shipped
from mocoop.clip.backbone import choose_device, load_backbone
from mocoop.config import DEMO, TrainConfig
from mocoop.datasets import load_dataset
from mocoop.errors import PathError, UserError
from mocoop.features.image_keys import digest
from mocoop.protocols.lab import METHODS, SUPERVISED, LabRun, LabSettings, measure
from mocoop.protocols.reuse import Expectations, Expected
from mocoop.runs.run import Run
from mocoop.runs.status import read_values
from mocoop.storage.atomic import (
    atomic_write,
    remove_of_killed,
    temporary_prefix,
    write_json,
    write_tensors,
)
from mocoop.storage.engines import Engine, shared_folder
from mocoop.storage.formats import check_format

GRID_FORMAT = 2  # increase it when an old reader would misread a new grid
TABLE, NUMBERS = "grid.json", "grid.safetensors.gz"


DAMAGED = (
    *(KeyError, TypeError, IndexError, ValueError),  # in the table
    *(OSError, EOFError, zlib.error, SafetensorError),  # in the numbers
)
"""Errors while a grid is read that mean that its files are damaged."""


class Key(NamedTuple):
    """What a training of the grid is found by."""

    method: str
    data: str
    shots: int
    weight: float
    """Of the text loss; 0 for a method without one."""
    rate: float
    """The learning rate."""
    seed: int


@dataclass(frozen=True)
class Axes:
    """The values of each slider in the grid."""

    data: tuple[str, ...]
    shots: tuple[int, ...]
    text_weights: tuple[float, ...]
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int

    def __post_init__(self) -> None:
        for name in ("data", "shots", "text_weights", "learning_rates", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise UserError(
                    f"{name} must have at least one value and no value twice; got {values}."
                )

    def trainings(self) -> Iterator[tuple[str, LabSettings]]:
        """Yields method and settings of every training, one seed after the other.

        A method without text loss is trained once, with text weight 0.
        """
        for seed, data, shots, rate in itertools.product(
            self.seeds, self.data, self.shots, self.learning_rates
        ):
            for method in METHODS:
                weights = self.text_weights if method in SUPERVISED else (0.0,)
                for weight in weights:
                    yield method, LabSettings(data, shots, seed, weight, self.epochs, rate)


@dataclass(frozen=True)
class Grid:
    """Finished trainings by their settings."""

    axes: Axes
    backbone_fingerprint: str
    """Fingerprint of the CLIP with which all of them were trained."""
    version: str
    """The version of mocoop that made the grid."""
    runs: dict[Key, LabRun] = field(repr=False)

    def find(self, method: str, settings: LabSettings) -> LabRun | None:
        """Returns the training with these settings; None if there is none, or a shorter one."""
        run = self.runs.get(_key(method, settings))
        return run if run is not None and run.epochs >= settings.epochs else None


def make_grid(
    axes: Axes, root: Path, out: Path, workers: int = 1, engine: Engine | None = None
) -> Iterator[tuple[int, int]]:
    """Trains what is missing, yields (done, all) after each training, and then writes the grid.

    Args:
        axes: the values in the grid.
        root: folder of the finished parts, one per training; these are not trained again while
            their CLIP, classes, templates and images are the same.
        out: folder of the grid.
        workers: number of processes, each with an equal share of the processor cores.
        engine: where the trainings run; processes of this machine if None.

    Raises:
        UserError: for settings or data that do not fit together.
    """
    engine, root = engine or Engine(workers=workers), shared_folder(root)
    trainings = list(axes.trainings())
    configs, known = [settings.config(method) for method, settings in trainings], Expectations()
    jobs = [(config, _part(root, known.of(config))) for config in configs]
    missing = [job for job in jobs if not job[1].exists()]
    done = len(jobs) - len(missing)
    yield done, len(jobs)
    for _ in engine.map(train_part, missing):
        done += 1
        yield done, len(jobs)
    write_grid(axes, [_read_part(part) for _, part in jobs], out)


def train_part(config: TrainConfig, part: Path) -> Path:
    """Trains one run in a temporary folder, and writes and returns the file with its measures."""
    from mocoop.training.experiment import run_experiment

    part.parent.mkdir(parents=True, exist_ok=True)
    remove_of_killed(part.parent)
    folder = Path(tempfile.mkdtemp(dir=part.parent, prefix=temporary_prefix(part.stem)))
    try:
        for _ in run_experiment(config, folder):
            pass
        backbone = load_backbone(config.backbone, choose_device(config.device))
        lab_run = measure(Run(folder), load_dataset(config.data), backbone)
        write_tensors(part, {name: getattr(lab_run, name) for name in _FIELDS})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return part


def write_grid(axes: Axes, lab_runs: Sequence[LabRun], out: Path) -> None:
    """Writes the two files of the grid, each atomically.

    Args:
        axes: the values in the grid.
        lab_runs: the measures of the trainings, in the order of `axes.trainings()`.
        out: folder of the grid.
    """
    trainings = list(axes.trainings())
    numbers = {name: torch.stack([getattr(run, name) for run in lab_runs]) for name in _FIELDS}
    # A bin's mean lies in 0 to 1, where half precision is exact to 0.0003.
    means = numbers["confidence"] / numbers["count"].clamp(min=1)
    numbers["confidence"] = means.half()
    with atomic_write(out / NUMBERS) as temporary:
        temporary.write_bytes(gzip.compress(save(numbers), mtime=0))  # the same bytes every time
    recipes = {method: LabSettings(axes.data[0]).config(method).to_dict() for method in METHODS}
    values = {
        "format": GRID_FORMAT,
        "version": __version__,
        "made_with": "mocoop lab-grid",
        "backbone_fingerprint": load_backbone(DEMO).fingerprint,
        "sha256": _digest(out / NUMBERS),
        "axes": {item.name: getattr(axes, item.name) for item in fields(Axes)},
        "trainings": len(trainings),
        "recipes": recipes,
    }
    write_json(out / TABLE, values)


def read_grid(folder: Path | None = None) -> Grid:
    """Returns the grid in a folder; the one that ships with the project if None.

    Raises:
        UserError: for a grid that is missing, damaged or of another format.
    """
    folder = folder or asset("lab")
    if not (folder / TABLE).exists():
        raise PathError(folder, f" holds no grid of the lab: {TABLE} is missing. {_MAKE}")
    for name in (TABLE, NUMBERS):
        check_if_shipped(folder / name)
    values = read_values(folder, TABLE)
    advice = f"The trainings of format 2 also differ in their learning rate. {_MAKE}"
    check_format(values, GRID_FORMAT, folder / TABLE, advice=advice, oldest=2)
    try:
        if _digest(folder / NUMBERS) != values["sha256"]:
            raise UserError(f"{NUMBERS} does not belong to {TABLE}")
        axes = _axes(values["axes"])
        numbers = load(gzip.decompress((folder / NUMBERS).read_bytes()))
        stacks = {name: numbers[name] for name in _FIELDS}
        stacks["confidence"] = stacks["confidence"].float() * stacks["count"]
        keys = [_key(method, settings) for method, settings in axes.trainings()]
        runs = {
            key: LabRun(**{name: stack[index] for name, stack in stacks.items()})
            for index, key in enumerate(keys)
        }
        return Grid(axes, values["backbone_fingerprint"], values["version"], runs)
    except DAMAGED as error:
        raise UserError(
            f"The lab's grid in {folder} is damaged ({error}). Make it again with `mocoop "
            "lab-grid`, or restore the file."
        ) from error


_MAKE = "Make it with `mocoop lab-grid`."
_FIELDS = tuple(item.name for item in fields(LabRun))


def _key(method: str, settings: LabSettings) -> Key:
    weight = float(settings.text_weight) if method in SUPERVISED else 0.0
    rate = settings.learning_rate
    return Key(method, settings.data, settings.shots, weight, rate, settings.seed)


def _axes(values: dict[str, Any]) -> Axes:
    lists = {name: tuple(values[name]) for name in ("data", "shots", "seeds")}
    for name in ("text_weights", "learning_rates"):
        lists[name] = tuple(float(value) for value in values[name])
    return Axes(epochs=int(values["epochs"]), **lists)


def _part(root: Path, made_from: Expected) -> Path:
    """Returns the file for one training's measures, named by a hash of all that it is made from.

    Another CLIP or other images have another name, so that no earlier measures are taken for
    theirs.
    """
    key = digest([made_from.config.to_dict(), made_from.key])
    return root / f"{key[:20]}.safetensors"


def _read_part(path: Path) -> LabRun:
    tensors: dict[str, Tensor] = load_file(path)
    return LabRun(**{name: tensors[name] for name in _FIELDS})


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

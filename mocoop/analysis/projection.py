"""Maps of text features in two or three dimensions, fitted jointly and saved on disk.

One fit uses the hard features, the prototypes and the soft features of all epochs. A map that
is fitted only on hard features would hide the drift of the soft ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mocoop.errors import UserError, choose_from
from mocoop.runs.features import SavedFeatures
from mocoop.runs.run import Run
from mocoop.storage.atomic import explain_write_errors, remove_of_killed, write_tensors
from mocoop.storage.cache_folder import default_cache

Method = Literal["umap", "pca"]
HARD, PROTOTYPE, SOFT = 0, 1, 2  # kinds of points
KINDS = ("hard", "prototype", "soft")
VERSION = 1  # increase it when the same settings would give other coordinates
# With Numba's default threading layer, two fits at once would crash the process.
_ONE_FIT_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class MapSettings:
    """The settings of a map."""

    method: Method = "umap"
    """umap or pca."""
    dims: int = 2
    """2 or 3."""
    seed: int = 0
    """Random seed of UMAP and of the sample of classes, if there are too many points."""
    neighbors: int = 15
    """UMAP: number of neighbours; trustworthiness uses the same number."""
    min_distance: float = 0.1
    """UMAP: smallest distance between points on the map."""
    rounds: int = 200
    """UMAP: number of optimisation epochs."""
    max_points: int = 6000
    """Largest number of points; with more, the map shows a random sample of classes."""

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise choose_from("projection", self.method, get_args(Method))
        if self.dims not in (2, 3):
            raise UserError(f"A map has 2 or 3 dimensions; got {self.dims}.")
        if self.neighbors < 2 or self.rounds < 1 or self.max_points < 1:
            raise UserError("neighbors must be at least 2, rounds and max_points at least 1.")


@dataclass(frozen=True)
class MapPoints:
    """Features to be mapped, one row per point, with the properties of each point."""

    features: Tensor = field(repr=False)  # (points, dim)
    kind: Tensor = field(repr=False)  # (points,) HARD, PROTOTYPE or SOFT
    group: Tensor = field(repr=False)  # (points,) index of group or expert
    label: Tensor = field(repr=False)  # (points,) index of the class
    template: Tensor = field(repr=False)  # (points,) index in its group; -1 unless hard
    epoch: Tensor = field(repr=False)  # (points,) -1 unless soft


@dataclass(frozen=True)
class Projection:
    """One joint map."""

    settings: MapSettings
    points: MapPoints
    coordinates: Tensor = field(repr=False)  # (points, dims)
    classes: tuple[int, ...]
    """Labels on the map: all, or a random sample if there are too many points."""
    sampled: bool
    """Whether classes were left out to keep the map small."""
    trustworthiness: dict[str, float]
    """hard and soft → 0 to 1: how far neighbours on the map are also neighbours in feature
    space; a kind with too few points is missing."""


def project(
    features: SavedFeatures,
    settings: MapSettings | None = None,
    epochs: Sequence[int] | None = None,
) -> Projection:
    """Returns a joint map of hard features, prototypes and the soft features of some epochs.

    Args:
        features: the text features of a run.
        settings: method, dimensions, seed and so on; by default UMAP in 2-D.
        epochs: the saved epochs to include; by default all.

    Raises:
        UserError: for an epoch that was not saved.
    """
    settings = settings or MapSettings()
    epochs = _epochs(features, epochs)
    classes = sample_classes(features, settings, epochs)
    points = map_points(features, classes, epochs)
    fit = fit_pca if settings.method == "pca" else fit_umap
    coordinates = fit(points.features, settings)
    trust = _trustworthiness(points, coordinates, settings.neighbors)
    sampled = len(classes) < features.prototypes.shape[1]
    return Projection(settings, points, coordinates, classes, sampled, trust)


def projection_of(
    run: Run,
    settings: MapSettings | None = None,
    epochs: Sequence[int] | None = None,
    cache_folder: Path | None = None,
    in_run: bool = True,
    must_save: bool = False,
) -> Projection:
    """Returns the map of a run, read from disk if it was made before.

    The map is looked up in the run's folder (a run may come with its map), then in the cache
    folder. A new map is saved in the run's folder, or in the cache folder if the run's folder
    is read-only.

    Args:
        run: a run with saved features.
        settings: as for `project`.
        epochs: as for `project`.
        cache_folder: by default `default_cache()`.
        in_run: whether a new map may be saved in the run's folder.
        must_save: whether a new map that cannot be saved is an error; otherwise it is returned.

    Raises:
        UserError: if the run is incomplete, an epoch was not saved, or with `must_save` the disk
            is full or the cache folder cannot be written.
    """
    settings = settings or MapSettings()
    features = run.features()
    epochs = _epochs(features, epochs)
    paths = _paths(run, projection_key(features, settings, epochs), cache_folder)
    for path in paths:
        saved = _load(path, features, settings, epochs)
        if saved is not None:
            return saved
    made = project(features, settings, epochs)
    own = in_run and not run.shipped and os.access(run.path, os.W_OK)
    in_cache = paths[1].parent
    with explain_write_errors(in_cache, "MOCOOP_CACHE") if must_save else suppress(OSError):
        _save(made, epochs, paths if own else paths[1:])
    return made


def is_ready(
    run: Run,
    settings: MapSettings,
    epochs: Sequence[int] | None = None,
    cache_folder: Path | None = None,
) -> bool:
    """Returns whether the map of a run is already on disk."""
    features = run.features()
    key = projection_key(features, settings, _epochs(features, epochs))
    return any(path.exists() for path in _paths(run, key, cache_folder))


def projection_key(features: SavedFeatures, settings: MapSettings, epochs: Sequence[int]) -> str:
    """Returns a hash of everything that the coordinates depend on."""
    digest = hashlib.sha256(json.dumps([VERSION, asdict(settings), list(epochs)]).encode())
    parts = [*features.hard, features.prototypes, *(features.soft[epoch] for epoch in epochs)]
    for part in parts:
        digest.update(repr(tuple(part.shape)).encode())
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


def sample_classes(
    features: SavedFeatures, settings: MapSettings, epochs: Sequence[int]
) -> tuple[int, ...]:
    """Returns the labels to map: all, or a random sample that `max_points` allows."""
    groups, count = features.prototypes.shape[:2]
    per_class = sum(len(part) for part in features.hard) + groups * (1 + len(epochs))
    keep = max(2, settings.max_points // per_class)
    if keep >= count:
        return tuple(range(count))
    generator = torch.Generator().manual_seed(settings.seed)
    drawn = torch.randperm(count, generator=generator)[:keep]
    return tuple(sorted(drawn.tolist()))


def fit_pca(features: Tensor, settings: MapSettings) -> Tensor:
    """Returns the first principal components, (points, dims), with fixed signs."""
    centred = features.double() - features.double().mean(dim=0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes[: settings.dims]  # (dims, dim)
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    coordinates = centred @ (axes * largest.sign()).T
    missing = settings.dims - coordinates.shape[1]  # fewer points than dimensions
    return torch.nn.functional.pad(coordinates, (0, missing)).float()


def fit_umap(features: Tensor, settings: MapSettings) -> Tensor:
    """Returns UMAP's coordinates, (points, dims), with cosine distance and a fixed seed."""
    with _ONE_FIT_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optional libraries that are not installed
        from umap import UMAP  # here, because importing and compiling it takes many seconds

        model = UMAP(
            n_components=settings.dims,
            n_neighbors=min(settings.neighbors, len(features) - 1),
            min_dist=settings.min_distance,
            n_epochs=settings.rounds,
            metric="cosine",
            # The spectral initialisation needs clearly more points than dimensions.
            init="spectral" if len(features) > 50 else "random",
            random_state=settings.seed,
            n_jobs=1,
        )
        threads = torch.get_num_threads()
        try:
            return torch.from_numpy(model.fit_transform(features.numpy())).float()
        finally:
            # Numba changes the number of OpenMP threads of the whole process and ignores
            # OMP_NUM_THREADS. On a busy machine, small matrix products of torch would then
            # take many times as long.
            torch.set_num_threads(threads)


def map_points(
    features: SavedFeatures, classes: Sequence[int], epochs: Sequence[int]
) -> MapPoints:
    """Returns all features of some classes as points: hard, then prototypes, then soft."""
    columns: list[list[Tensor]] = [[] for _ in range(6)]

    def add(part: Tensor, kind: int, group: int, epoch: int = -1) -> None:
        part = part[:, list(classes)]  # (templates, classes, dim)
        templates, count, _ = part.shape
        number = torch.arange(templates)[:, None].expand(templates, count)
        label = torch.tensor(classes).expand(templates, count)
        rows = (
            part.flatten(0, 1),
            torch.full((templates * count,), kind),
            torch.full((templates * count,), group),
            label.flatten(),
            (number if kind == HARD else torch.full_like(number, -1)).flatten(),
            torch.full((templates * count,), epoch),
        )
        for column, values in zip(columns, rows, strict=True):
            column.append(values)

    for group, part in enumerate(features.hard):
        add(part, HARD, group)
    for group, part in enumerate(features.prototypes):
        add(part[None], PROTOTYPE, group)
    for epoch in epochs:
        for group, part in enumerate(features.soft[epoch]):
            add(part[None], SOFT, group, epoch)
    return MapPoints(*(torch.cat(column) for column in columns))


def _epochs(features: SavedFeatures, epochs: Sequence[int] | None) -> tuple[int, ...]:
    """Returns the requested epochs in order; UserError if one was not saved."""
    saved = tuple(sorted(features.soft))
    wanted = saved if epochs is None else tuple(sorted(set(epochs)))
    missing = [epoch for epoch in wanted if epoch not in features.soft]
    if missing or not wanted:
        raise UserError(f"Expected some of the saved epochs {saved}; got {list(epochs or ())}.")
    return wanted


def _trustworthiness(points: MapPoints, coordinates: Tensor, neighbors: int) -> dict[str, float]:
    """Returns kind → trustworthiness of the joint map, computed on the points of this kind."""
    from sklearn.manifold import trustworthiness

    values = {}
    for kind in (HARD, SOFT):
        rows = points.kind == kind
        near = min(neighbors, (int(rows.sum()) - 1) // 2)
        if near >= 1:
            truth, shown = points.features[rows].numpy(), coordinates[rows].numpy()
            value = trustworthiness(truth, shown, n_neighbors=near, metric="cosine")
            values[KINDS[kind]] = float(value)
    return values


def _paths(run: Run, key: str, cache_folder: Path | None) -> tuple[Path, Path]:
    name = f"projection-{key}.safetensors"
    return run.path / name, (cache_folder or default_cache()) / "projections" / name


def _save(made: Projection, epochs: Sequence[int], paths: Sequence[Path]) -> None:
    """Writes a map to the first path that can be written.

    Raises:
        OSError: if none can be.
    """
    metadata = {"settings": json.dumps(asdict(made.settings)), "epochs": json.dumps(epochs)}
    metadata |= {"trustworthiness": json.dumps(made.trustworthiness)}
    for path in paths:
        try:
            remove_of_killed(path.parent)
            write_tensors(path, {"coordinates": made.coordinates}, metadata)
            return
        except OSError:
            if path == paths[-1]:
                raise


def _load(
    path: Path, features: SavedFeatures, settings: MapSettings, epochs: Sequence[int]
) -> Projection | None:
    """Returns the map in a file; None if the file is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            coordinates = file.get_tensor("coordinates").clone()  # not a view of the open file
            trust = json.loads(file.metadata()["trustworthiness"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None  # the caller makes the map again
    classes = sample_classes(features, settings, epochs)
    points = map_points(features, classes, epochs)
    if coordinates.shape != (len(points.kind), settings.dims):
        return None
    sampled = len(classes) < features.prototypes.shape[1]
    return Projection(settings, points, coordinates, classes, sampled, trust)

"""Snapshots of a running training, from which it can be resumed exactly where it stopped.

They are in the run's folder until the run is finished:

    resume/state.safetensors      weights, optimiser and random state after an epoch
    resume/kept-3.safetensors     soft features and router after a saved epoch, here epoch 3
    resume/imported.safetensors   the imported prompts that the run started from, if it did
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mocoop.errors import UserError
from mocoop.model.mixture import PromptMixture
from mocoop.presets import identity
from mocoop.runs.status import FINISHED, read_status
from mocoop.storage.atomic import read_tensors, write_tensors
from mocoop.training.data import TrainingData
from mocoop.training.image_sources import CachedImages
from mocoop.training.length_search import SearchOptimizer
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.prepare import Prepared

Stepper = PromptOptimizer | SearchOptimizer
FOLDER, STATE = "resume", "state.safetensors"


@dataclass(frozen=True)
class Snapshot:
    """The state of a training after an epoch: everything that later epochs depend on."""

    epoch: int
    seconds: float
    """Time spent on the training so far."""
    fingerprint: str
    """The `training_fingerprint` of the images and weights with which the training started."""
    tensors: dict[str, Tensor] = field(repr=False)
    """Weights, optimiser state and random state, by name."""
    threads: int = 0
    """The number of threads of the training: with another one, sums differ in their last bits.
    0 in snapshots of earlier versions."""
    searched: int = 0
    """Epochs of a search of lengths so far; 0 without one."""
    search: str = ""
    """What that search chose, as `SearchResult.to_json` writes it; "" before its end."""

    @classmethod
    def capture(
        cls,
        model: PromptMixture,
        optimizer: Stepper,
        generator: torch.Generator,
        epoch: int,
        seconds: float,
        fingerprint: str,
        searched: int = 0,
        search: str = "",
    ) -> Snapshot:
        """Returns a training's state between two epochs, on the CPU."""
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"stepper/{name}": value for name, value in optimizer.state().items()}
        tensors["generator"] = generator.get_state()
        on_cpu = {name: tensor.cpu() for name, tensor in tensors.items()}
        threads = torch.get_num_threads()
        return cls(epoch, seconds, fingerprint, on_cpu, threads, searched, search)

    @property
    def in_search(self) -> bool:
        """Whether the run has not begun the training after its search of lengths."""
        return self.searched > 0 and not self.search

    def restore(
        self, model: PromptMixture, optimizer: Stepper, generator: torch.Generator
    ) -> None:
        """Restores this state in a new model, optimiser and generator."""
        model.load_state_dict(_part(self.tensors, "model/"))
        optimizer.restore(_part(self.tensors, "stepper/"))
        generator.set_state(self.tensors["generator"])


@contextmanager
def same_threads(snapshot: Snapshot | None) -> Iterator[None]:
    """Trains with the number of threads with which a stopped training began.

    Only so are the results equal, bit by bit, to those of a training that did not stop.
    """
    usual = torch.get_num_threads()
    if snapshot is not None and snapshot.threads > 0:
        torch.set_num_threads(snapshot.threads)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def training_fingerprint(prepared: Prepared, data: TrainingData) -> str:
    """Returns a hash of everything a run learns from: settings, weights and images.

    The hash covers the images' ids and labels, their features where these are cached, and the
    frozen text features with which losses compare.
    """
    items = [[item.id, item.label] for item in (*prepared.train_items, *prepared.val_items)]
    inputs = [
        identity(prepared.config),
        prepared.backbone.fingerprint,
        prepared.dataset.class_names,
        items,
    ]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
    for images in (data.train, data.val):
        if isinstance(images, CachedImages):
            digest.update(images.features.cpu().contiguous().numpy().tobytes())
    if data.hard.frozen is not None:
        digest.update(data.hard.frozen.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_unchanged(snapshot: Snapshot, fingerprint: str, name: str) -> None:
    """Raises UserError if a run to be resumed would not see what it saw before.

    Args:
        snapshot: the state of the run where it stopped.
        fingerprint: what `training_fingerprint` returns now.
        name: the run's name.
    """
    if snapshot.fingerprint != fingerprint:
        raise UserError(
            f"Run {name} cannot be resumed: its images or the CLIP's weights have changed since "
            "it was started, or another version of MoCoOp started it. Restore them, or train it "
            "again."
        )


def save_snapshot(run: Path, snapshot: Snapshot) -> None:
    """Writes a snapshot into a run's folder; it replaces an earlier one."""
    metadata = {
        "epoch": str(snapshot.epoch),
        "seconds": str(snapshot.seconds),
        "material": snapshot.fingerprint,
        "threads": str(snapshot.threads),
    }
    if snapshot.searched:
        metadata |= {"searched": str(snapshot.searched), "search": snapshot.search}
    write_tensors(run / FOLDER / STATE, snapshot.tensors, metadata)


def save_epoch(run: Path, epoch: int, soft: Tensor, gate: Mapping[str, Tensor]) -> None:
    """Writes the soft features and the router of a saved epoch into a run's folder.

    Args:
        run: the run's folder.
        epoch: the epoch after which they were computed.
        soft: the soft features, (experts, classes, dim).
        gate: the router's parameters by name; empty without a router.
    """
    write_tensors(run / FOLDER / f"kept-{epoch}.safetensors", {"soft": soft, **gate})


def load_snapshot(run: Path) -> Snapshot:
    """Returns the snapshot in a run's folder.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    path = run / FOLDER / STATE
    if not path.exists():
        raise UserError(f"Run {run} has no snapshot to resume from. Train it again.")
    try:
        with safe_open(path, "pt") as file:
            metadata, names = file.metadata(), file.keys()
            tensors = {name: file.get_tensor(name).clone() for name in names}
        epoch, seconds = int(metadata["epoch"]), float(metadata["seconds"])
        threads = int(metadata.get("threads", 0))
        search = int(metadata.get("searched", 0)), metadata.get("search", "")
        return Snapshot(epoch, seconds, metadata["material"], tensors, threads, *search)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}). Train the run again.") from error


def load_saved_epochs(
    run: Path, last: int
) -> tuple[dict[int, Tensor], dict[int, dict[str, Tensor]]]:
    """Returns epoch → soft features and epoch → the router's parameters.

    Args:
        run: the run's folder.
        last: the last epoch to load.

    Raises:
        UserError: if a file is damaged.
    """
    soft: dict[int, Tensor] = {}
    gates: dict[int, dict[str, Tensor]] = {}
    files = {int(p.stem.partition("-")[2]): p for p in (run / FOLDER).glob("kept-*.safetensors")}
    for epoch, path in sorted(files.items()):
        if epoch > last:
            continue
        try:
            tensors = read_tensors(path)
            soft[epoch] = tensors.pop("soft")
        except (SafetensorError, OSError, KeyError) as error:
            raise UserError(f"{path} is damaged ({error}). Train the run again.") from error
        if tensors:
            gates[epoch] = tensors
    return soft, gates


def saved_epoch(run: Path) -> int | None:
    """Returns the epoch from which a run can be resumed; None if it has no readable snapshot."""
    path = run / FOLDER / STATE
    try:
        with safe_open(path, "pt") as file:
            return int(file.metadata()["epoch"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def drop_snapshot(run: Path) -> None:
    """Deletes a run's snapshot and the epochs saved with it."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def drop_needless_snapshots(runs: Path) -> None:
    """Deletes the snapshots of finished runs that were killed before they did it themselves."""
    for folder in runs.glob(f"*/{FOLDER}"):
        with suppress(UserError):
            if read_status(folder.parent).state == FINISHED:
                drop_snapshot(folder.parent)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names begin with a prefix, under their names without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

"""What a training leaves behind while it runs, so that it can go on exactly where it stopped.

In the run's folder, until it is finished:

    resume/state.safetensors      weights, optimiser, random numbers, after an epoch
    resume/kept-3.safetensors     soft features and router after a saved epoch, here the third
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mocoop.errors import UserError
from mocoop.model.mixture import PromptMixture
from mocoop.storage.atomic import read_tensors, write_tensors
from mocoop.training.image_sources import CachedImages
from mocoop.training.loop import TrainingData
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.prepare import Prepared

FOLDER, STATE = "resume", "state.safetensors"


@dataclass(frozen=True)
class Snapshot:
    """A training after an epoch: all that the epochs to come depend on."""

    epoch: int
    seconds: float
    """Time spent on the training so far."""
    fingerprint: str
    """What `training_fingerprint` gave for the images and weights it was started with."""
    tensors: dict[str, Tensor] = field(repr=False)
    """Weights, optimiser and random numbers, by name."""

    @classmethod
    def capture(
        cls,
        model: PromptMixture,
        stepper: PromptOptimizer,
        generator: torch.Generator,
        epoch: int,
        seconds: float,
        fingerprint: str,
    ) -> Snapshot:
        """Returns a training's state between two epochs, on the CPU."""
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"stepper/{name}": value for name, value in stepper.state().items()}
        tensors["generator"] = generator.get_state()
        return cls(epoch, seconds, fingerprint, {name: t.cpu() for name, t in tensors.items()})

    def restore(
        self, model: PromptMixture, stepper: PromptOptimizer, generator: torch.Generator
    ) -> None:
        """Puts model, optimiser and generator, made anew, into the state they were in."""
        model.load_state_dict(_part(self.tensors, "model/"))
        stepper.restore(_part(self.tensors, "stepper/"))
        generator.set_state(self.tensors["generator"])


def training_fingerprint(prepared: Prepared, data: TrainingData) -> str:
    """Returns a fingerprint of what a run learns from: settings, weights, images.

    Images count by name and label, and by their features where these are computed beforehand.
    """
    settings = replace(prepared.config, device="auto").to_dict()
    items = [[item.id, item.label] for item in (*prepared.train_items, *prepared.val_items)]
    told = [settings, prepared.backbone.fingerprint, prepared.dataset.class_names, items]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for images in (data.train, data.val):
        if isinstance(images, CachedImages):
            digest.update(images.features.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_snapshot(run: Path, snapshot: Snapshot) -> None:
    """Writes a snapshot into a run's folder, in place of an earlier one."""
    told = {"epoch": snapshot.epoch, "seconds": snapshot.seconds, "material": snapshot.fingerprint}
    write_tensors(
        run / FOLDER / STATE, snapshot.tensors, {key: str(value) for key, value in told.items()}
    )


def save_kept(run: Path, epoch: int, soft: Tensor, gate: Mapping[str, Tensor]) -> None:
    """Writes what is kept of an epoch into a run's folder.

    Args:
        run: the folder.
        epoch: after which epoch.
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
        raise UserError(f"Run {run} has nothing saved to go on from. Train it again.")
    try:
        with safe_open(path, "pt") as file:
            told, names = file.metadata(), file.keys()
            tensors = {name: file.get_tensor(name).clone() for name in names}
        return Snapshot(int(told["epoch"]), float(told["seconds"]), told["material"], tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}). Train the run again.") from error


def load_kept(run: Path, last: int) -> tuple[dict[int, Tensor], dict[int, dict[str, Tensor]]]:
    """Returns epoch → soft features and epoch → router's parameters, up to an epoch.

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
    """Returns the epoch that a run can go on from; None where it has to begin anew."""
    path = run / FOLDER / STATE
    try:
        with safe_open(path, "pt") as file:
            return int(file.metadata()["epoch"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def drop_snapshot(run: Path) -> None:
    """Removes what a run was to go on from."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

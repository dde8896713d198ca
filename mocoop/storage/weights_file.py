"""Reads the tensors of a file of weights, whichever program wrote it; no pickle is run.

Safetensors hold only tensors. A pickle is opened by `torch.load(weights_only=True)`, which refuses
every object that is no plain data. TorchScript archives, which it refuses too, are read by
`torch_archive`, and so are the checkpoints of Dassl, whose learning-rate schedule is an object.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from mocoop.errors import UserError
from mocoop.storage.atomic import read_tensors
from mocoop.storage.torch_archive import (
    Named,
    TorchArchive,
    is_torch_archive,
    read_torch_archive,
)

SAFE = ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
SUFFIXES = (SAFE, *PICKLES)
LONGEST_NAME = 300  # characters of a tensor's name
# A few values can be stored as if they were many, by a stride of 0: a small file that would fill
# the memory. Weights are stored whole.
SPARE_TIMES, SPARE_BYTES = 4, 64 << 20
# Objects of a training that lie beside the weights in Dassl's files; only described, never made.
HARMLESS = (
    "torch.optim.",
    "dassl.optim.",
    "numpy",
    "torch Size",
    "torch device",
    "_codecs encode",
)


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file by name, and what else it says."""

    tensors: dict[str, Tensor] = field(repr=False)
    others: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Numbers and texts beside the tensors, such as the epoch."""


def read_weights(path: Path, with_schedule: bool = False) -> WeightsFile:
    """Returns the tensors of a safetensors file, a pickle of torch, or a TorchScript archive.

    Args:
        path: the file.
        with_schedule: also read a pickle that holds the optimizer and schedule of its training.

    Raises:
        UserError: for a file that is missing, damaged, or holds other objects than tensors.
    """
    if not path.is_file():
        raise UserError(f"No such weights file: {path}. Check the path.")
    file = _read(path, with_schedule)
    _check_plain(path, file.tensors)
    return file


def _read(path: Path, with_schedule: bool) -> WeightsFile:
    """Returns the tensors of a file, of whatever kind they are."""
    if path.suffix == SAFE:
        return WeightsFile(_safetensors(path))
    archive = read_torch_archive(path) if is_torch_archive(path) else None
    if archive is not None and archive.is_script:
        return WeightsFile(dict(_attributes(archive.content)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old ways to store tensors
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        content = _without_objects(path, archive, with_schedule, error)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise _damaged(path, error) from error
    return _parts(path, content)


def _check_plain(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises UserError for tensors that are no plain numbers, or more than the file can hold."""
    for name, value in tensors.items():
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise UserError(
                f"{path} has a tensor whose name is no name: {name[:40]!r}. Expected a state "
                "dict, as torch.save(model.state_dict(), FILE) writes it."
            )
        kind = "without values" if value.is_meta else str(value.layout).removeprefix("torch.")
        kind = "quantized" if value.is_quantized else kind
        if kind != "strided":
            raise UserError(
                f"{path}: {name} is {kind}. Expected plain tensors of numbers: convert the "
                "weights with the program that wrote them."
            )
    size, claimed = path.stat().st_size, sum(value.nbytes for value in tensors.values())
    if claimed > SPARE_TIMES * size + SPARE_BYTES:
        raise UserError(
            f"{path} has {size:,} bytes, and its tensors would take {claimed:,}: it repeats "
            "values instead of storing them. Expected weights that are stored whole."
        )


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    size = path.stat().st_size
    return UserError(
        f"{path} ({size:,} bytes) is cut off, or no file of weights: {reason}. Copy or download "
        "it again."
    )


def _without_objects(
    path: Path, archive: TorchArchive | None, with_schedule: bool, error: Exception
) -> Any:
    """Returns the content of a pickle with objects, if they are those of a training's schedule."""
    if archive is None:
        raise UserError(
            f"{path} is no file of weights, or a pickle with objects, which could run code when "
            "loaded: it is not opened. Expected tensors, as torch.save(model.state_dict(), FILE) "
            "or safetensors write them."
        ) from error
    strange = [name for name in archive.names if not name.startswith(HARMLESS)]
    if with_schedule and not strange:
        return archive.content
    named = ", ".join(name.replace(" ", ".") for name in (strange or archive.names)[:3])
    raise UserError(
        f"{path} holds pickled objects ({named or 'of an unknown kind'}), which could run code "
        "when loaded: it is not opened. Expected only tensors, as torch.save(model.state_dict(), "
        "FILE) or safetensors write them."
    ) from error


def _parts(path: Path, content: Any) -> WeightsFile:
    """Returns tensors and other values of a dictionary, or of its entry `state_dict`."""
    others: dict[str, Any] = {}
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        others = {key: v for key, v in content.items() if isinstance(v, int | float | str)}
        content = content["state_dict"]
    tensors = (
        {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, dict)
        else {}
    )
    if not tensors:
        raise UserError(
            f"{path} holds no tensors by name. Expected a state dict, as "
            "torch.save(model.state_dict(), FILE) writes it."
        )
    if all(name.startswith("module.") for name in tensors):  # of torch's parallel training
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return WeightsFile(tensors, others)


def _attributes(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors of a TorchScript module by the names of its state dict."""
    state = module.state if isinstance(module, Named) else None
    for name, value in state.items() if isinstance(state, dict) else ():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Named):
            yield from _attributes(value, f"{prefix}{name}.")

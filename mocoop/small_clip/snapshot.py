"""What an interrupted training of the small CLIP of scenes goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from mocoop.errors import UserError
from mocoop.small_clip.config import SmallClipConfig
from mocoop.storage.atomic import read_tensors, write_json, write_tensors

SNAPSHOT = "training.safetensors"
NOTE = "training.json"
# Settings that a training may go on with although they differ.
_FREE = ("device", "workers", "compile", "eval_every", "eval_scenes")


def keep(
    folder: Path,
    config: SmallClipConfig,
    modules: Mapping[str, nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    step: int,
    seconds: float,
) -> None:
    """Writes all weights and optimisers; removes the file after the last step."""
    if step == config.steps:
        (folder / SNAPSHOT).unlink(missing_ok=True)
        return
    tensors: dict[str, Tensor] = {}
    for part, module in modules.items():
        tensors |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
    for place, optimizer in enumerate(optimizers):
        for number, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer.{place}.{number}.{name}"] = value
    described = json.dumps(asdict(config), sort_keys=True)
    about = {"step": str(step), "seconds": str(seconds), "config": described}
    write_tensors(folder / SNAPSHOT, tensors, about)


def restore(
    folder: Path,
    config: SmallClipConfig,
    modules: Mapping[str, nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
) -> tuple[int, float]:
    """Loads an interrupted training; returns steps done and seconds spent, zero without one.

    Raises:
        UserError: if the folder holds an unfinished training with other settings.
    """
    path = folder / SNAPSHOT
    if not path.is_file():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        about = file.metadata()
    before = json.loads(about["config"])
    for name, value in asdict(config).items():
        if name not in _FREE and before.get(name) != value:
            raise UserError(
                f"{folder} holds an unfinished training with {name} {before.get(name)}, not "
                f"{value}. Go on with the same settings, or remove {path}."
            )
    tensors = read_tensors(path)
    for part, module in modules.items():
        module.load_state_dict(_below(f"{part}.", tensors))
    for place, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(f"optimizer.{place}.", tensors).items():
            number, name = key.split(".")
            state.setdefault(int(number), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(about["step"]), float(about["seconds"])


def note(folder: Path, config: SmallClipConfig, step: int, seconds: float) -> None:
    """Writes what the model card says of a training."""
    on_gpu = config.device.startswith("cuda")
    hardware = torch.cuda.get_device_name() if on_gpu else "CPU"
    about = {
        "steps": step,
        "seconds": round(seconds),
        "device": hardware,
        "threads": torch.get_num_threads(),
        "settings": asdict(config),
    }
    write_json(folder / NOTE, about)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors whose names start with `prefix`, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }

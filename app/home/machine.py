"""What this machine has: device, CLIP, data sets and runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mocoop.assets import asset
from mocoop.clip.backbone import choose_device
from mocoop.datasets import BUILTIN
from mocoop.errors import UserError
from mocoop.runs.run import Run
from mocoop.runs.status import FINISHED

MOST_NAMES = 4  # of data sets on disk that are listed by name


@dataclass(frozen=True)
class Machine:
    """What the Home page says about the machine."""

    device: str
    """The GPU's name, or the number of processor cores."""
    clip: str
    data_sets: str
    """The data sets to choose from, in words."""
    finished: int
    runs: int


def describe_machine(runs: list[Run], data_sets: Sequence[str]) -> Machine:
    """Returns the description of this machine, given its runs and the data sets on disk."""
    device = choose_device("auto")
    cores = os.cpu_count() or 1
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "No GPU"
    has_demo = (asset("demo-clip") / "open_clip_model.safetensors").is_file()
    return Machine(
        f"{name}, {cores} processor cores" if cores > 1 else f"{name}, 1 processor core",
        "the built-in demo" if has_demo else "the built-in demo is missing",
        _in_words(data_sets),
        sum(_finished(run) for run in runs),
        len(runs),
    )


def _in_words(data_sets: Sequence[str]) -> str:
    """Returns the names of the built-in data sets and of those on disk or uploaded."""
    own = [Path(name).name for name in data_sets]
    more = ""
    if own:
        rest = f" and {len(own) - MOST_NAMES} more" if len(own) > MOST_NAMES else ""
        more = f"; {', '.join(own[:MOST_NAMES])}{rest}"
    return ", ".join(BUILTIN) + more + "; any folder of images"


def _finished(run: Run) -> bool:
    """Returns whether a run is finished; False if it was deleted in the meantime."""
    try:
        return run.status().state == FINISHED
    except UserError:
        return False

"""What this machine has: device, CLIP, data sets and runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.home import words
from mocoop.assets import asset
from mocoop.datasets import BUILTIN
from mocoop.errors import UserError
from mocoop.runs.run import Run
from mocoop.runs.status import FINISHED

DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Devices of the drivers of NVIDIA, AMD, and of Windows for Linux within it."""
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
    cores = os.cpu_count() or 1
    has_demo = (asset("demo-clip") / "open_clip_model.safetensors").is_file()
    return Machine(
        words.device(_gpu() or words.NO_GPU, cores),
        words.DEMO if has_demo else words.DEMO_MISSING,
        words.data_sets(BUILTIN, [Path(name).name for name in data_sets], MOST_NAMES),
        sum(_finished(run) for run in runs),
        len(runs),
    )


def _gpu() -> str:
    """Returns the name of the GPU that torch uses; empty if there is none.

    Torch is not imported to be asked where no driver of a GPU is installed.
    """
    has_driver = shutil.which("nvidia-smi") or any(map(os.path.exists, DRIVERS))
    if not has_driver:
        return ""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def _finished(run: Run) -> bool:
    """Returns whether a run is finished; False if it was deleted in the meantime."""
    try:
        return run.status().state == FINISHED
    except UserError:
        return False

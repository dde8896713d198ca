"""How much memory a step may fill with activations."""

from __future__ import annotations

import os

import psutil
import torch

from mocoop.errors import UserError

SHARE = 0.5  # of the memory that is free


def activation_memory(device: torch.device) -> int:
    """Returns the bytes of activations that a step may keep: MOCOOP_TEXT_MEMORY, or half of
    the device's free memory.

    The variable gives GiB. The budget changes a step's time and memory, but not its result.

    Raises:
        UserError: for a variable that is no number.
    """
    chosen = os.environ.get("MOCOOP_TEXT_MEMORY")
    if chosen:
        try:
            size = float(chosen)
        except ValueError:
            size = -1.0
        if not 0 <= size < float("inf"):
            raise UserError(
                f"MOCOOP_TEXT_MEMORY is {chosen!r}: expected a number of GiB from 0 on, such as 4."
            )
        return int(size * 2**30)
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[0])
    return int(SHARE * psutil.virtual_memory().available)

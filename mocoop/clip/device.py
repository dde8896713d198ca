"""What a device is good at: the number format of the towers, and memory for activations."""

from __future__ import annotations

import os

import psutil
import torch

from mocoop.config import Precision
from mocoop.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SHARE = 0.5  # of the memory that is free


def choose_precision(asked: Precision, device: torch.device) -> Precision:
    """Returns the number format that is asked for; for `auto` the one that is fast on a device.

    On a GPU that is bf16, or fp16 where it has no bf16 of its own; on a processor with AMX, bf16
    (the image tower is then about three times as fast); elsewhere fp32.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and "amx_bf16" in processor_flags() else "fp32"


def tower_dtype(asked: Precision, device: torch.device) -> torch.dtype:
    """Returns the dtype of a number format, `auto` being the one that is fast on a device."""
    return DTYPES[choose_precision(asked, device)]


def processor_flags() -> frozenset[str]:
    """Returns what the processor can do, in Linux' words; nothing on other systems."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(line.partition(":")[2].split())


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

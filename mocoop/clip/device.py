"""Which number format the towers run in, where that is left to the machine."""

from __future__ import annotations

import torch

from mocoop.config import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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

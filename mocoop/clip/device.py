"""Settings that depend on the device: the towers' number format and memory for activations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from mocoop.errors import UserError
from mocoop.setting_types import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SHARE = 0.5  # share of the free memory that activations may use


def choose_precision(asked: Precision, device: torch.device) -> Precision:
    """Returns the number format that is asked for; with `auto`, a fast one for the device.

    On a GPU this is bf16, or fp16 if the GPU does not support bf16. On a processor with AMX it is
    bf16 (the image tower is then about three times as fast). Elsewhere it is fp32.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and "amx_bf16" in processor_flags() else "fp32"


def tower_dtype(asked: Precision, device: torch.device) -> torch.dtype:
    """Returns the dtype of a number format; with `auto`, that of a fast one for the device."""
    return DTYPES[choose_precision(asked, device)]


def processor_flags() -> frozenset[str]:
    """Returns the processor's features as Linux names them; an empty set on other systems."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(line.partition(":")[2].split())


@contextmanager
def deterministic(asked: bool) -> Iterator[None]:
    """Lets torch use only operations that give the same bits every time; restores it at the end.

    On a GPU this takes time, and an operation without such a form cannot be used.

    Args:
        asked: whether to do so; nothing happens if not.

    Raises:
        UserError: at the end, for an operation inside that has no such form.
    """
    if not asked:
        yield
        return
    # cuBLAS reads this when it is used for the first time in a process.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        reason = str(error).split(". ")[0]
        raise UserError(
            f"An operation has no deterministic form on this device: {reason}. Train without "
            "deterministic, or on a CPU."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]


def activation_memory(device: torch.device) -> int:
    """Returns how many bytes of activations a step may keep.

    This is MOCOOP_TEXT_MEMORY, in GiB, or else half of the device's free memory. It changes the
    time and memory of a step, but not its result.

    Raises:
        UserError: if the environment variable is not a number.
    """
    chosen = os.environ.get("MOCOOP_TEXT_MEMORY")
    if chosen:
        try:
            size = float(chosen)
        except ValueError:
            size = -1.0
        if not 0 <= size < float("inf"):
            raise UserError(
                f"MOCOOP_TEXT_MEMORY is {chosen!r}: expected a number of GiB, at least 0, like 4."
            )
        return int(size * 2**30)
    return half_of_free(device)


def half_of_free(device: torch.device) -> int:
    """Returns half of a device's free memory, in bytes."""
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[0])
    return int(SHARE * psutil.virtual_memory().available)

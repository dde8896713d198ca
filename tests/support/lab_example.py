"""Measured trainings small enough to check by hand, for the tests of the overfitting lab."""

from __future__ import annotations

import pandas as pd
import torch

from mocoop.protocols.lab import BINS, OWN_RATE, ROUTING, LabRun

IMAGES = 20


def lab_run(base, new, drift=(0.0, 0.1), routing=None) -> LabRun:
    """Returns a training whose images all lie in two bins, half of them in each.

    Args:
        base: right predictions of 20 images by epoch, all in the upper bin first.
        new: the same on new classes.
        drift: of every epoch, the same on both halves; shorter lists repeat their last value.
        routing: percents in the order of `ROUTING`, for both halves.
    """
    epochs = len(base)
    count = torch.zeros(epochs, 2, BINS, dtype=torch.int16)
    right, sums = count.clone(), count.float()
    count[..., 7] = count[..., 14] = IMAGES // 2
    sums[..., 7], sums[..., 14] = 0.5 * IMAGES / 2, 1.0 * IMAGES / 2
    for half, values in enumerate((base, new)):
        for epoch, value in enumerate(values):
            right[epoch, half, 14] = min(value, IMAGES // 2)
            right[epoch, half, 7] = max(0, value - IMAGES // 2)
    moved = torch.tensor([drift[min(epoch, len(drift) - 1)] for epoch in range(epochs)])
    nothing = [float("nan")] * len(ROUTING)
    return LabRun(
        count,
        right,
        sums,
        torch.tensor([float("nan"), *[50.0 + epoch for epoch in range(1, epochs)]]),
        1 - moved[:, None].expand(-1, 2),
        torch.tensor([routing or nothing] * 2),
    )


def finals(rows) -> pd.DataFrame:
    """Returns a table as of `final_table` from (method, half, weight, before, after, ...)."""
    defaults = {"data": "halves", "shots": 16, "rate": OWN_RATE, "seed": 1}
    defaults |= {"drift": 0.1, "error": 5.0}
    defaults |= {"train before": 50.0, "train after": 60.0}
    # Methods start from zero-shot unless a row says otherwise.
    starts = [{"untrained": row["before"]} if "before" in row else {} for row in rows]
    return pd.DataFrame([defaults | start | row for start, row in zip(starts, rows, strict=True)])

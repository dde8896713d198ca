"""The tables of the Overfitting lab: measured trainings in, pandas out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from mocoop.evaluation.measures import harmonic_mean
from mocoop.methods import METHODS
from mocoop.protocols.lab import BINS, COOP, HALVES, SUPERVISED, LabRun
from mocoop.protocols.lab_grid import Grid

ZERO_SHOT = next(key for key, method in METHODS.items() if method.is_plain_prompt)
START = COOP
"""The method whose epoch 0 equals zero-shot: it starts from the data set's zero-shot template."""

FEW = 0.02
"""Bins of a reliability diagram with a smaller share of a half's images are left out."""


BANDS = ("train", *HALVES)
"""Accuracies with a band over the seeds: on training images, and on test images of a half."""

Trainings = Mapping[str, Sequence[LabRun]]
"""Method → its trainings, one for each seed."""


def epoch_table(runs: Trainings) -> pd.DataFrame:
    """Returns a row per method and epoch; accuracies and calibration errors in percent.

    All numbers are means over the seeds. `low` and `high` of an accuracy are those of the lowest
    and of the highest seed. `drift` is 1 - cosine of the soft prompts to their own hard
    prototypes. Epochs that not all seeds have are left out.
    """
    parts = []
    for method, trained in runs.items():
        each = pd.concat([_epochs_of(run) for run in trained], ignore_index=True)
        by_epoch = each.groupby("epoch")
        part = by_epoch.mean().reset_index()
        for name in BANDS:
            part[f"{name} low"] = by_epoch[name].min().to_numpy()
            part[f"{name} high"] = by_epoch[name].max().to_numpy()
        part.insert(0, "method", method)
        part.insert(2, "seeds", len(trained))
        last = min(run.epochs for run in trained)
        parts.append(part[part["epoch"] <= last])
    return pd.concat(parts, ignore_index=True)


def _epochs_of(run: LabRun) -> pd.DataFrame:
    """Returns a row per epoch of one training."""
    table = pd.DataFrame({"epoch": range(run.epochs + 1)})
    table["train"] = run.train.double().tolist()
    for half in HALVES:
        table[half] = run.accuracy(half).tolist()
        table[f"error {half}"] = run.calibration_error(half).tolist()
        table[f"drift {half}"] = run.drift(half).tolist()
    pairs = zip(table["base"], table["new"], strict=True)
    table["HM"] = [harmonic_mean(base, new) for base, new in pairs]
    return table


def gone_off(
    runs: Trainings, seeds: Mapping[str, Sequence[int]], epoch: int
) -> dict[str, dict[int, float]]:
    """Returns method → seed → fall of its trainings that went off by an epoch.

    Methods none of whose trainings went off are left out. The fall is in points of training
    accuracy.

    Args:
        runs: the trainings.
        seeds: method → the seeds of its trainings, in the same order.
        epoch: the last epoch that counts.
    """
    found = {}
    for method, trained in runs.items():
        pairs = zip(seeds[method], trained, strict=True)
        falls = {seed: run.fall(epoch) for seed, run in pairs if run.went_off(epoch)}
        if falls:
            found[method] = falls
    return found


def table_at(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """Returns a row per method after an epoch; zero-shot comes first if it is known.

    Args:
        table: from `epoch_table`.
        epoch: the epoch; 0 is before training.
    """
    rows = table[table["epoch"] == epoch]
    start = table[(table["method"] == START) & (table["epoch"] == 0)]
    shown = pd.concat([start.assign(method=ZERO_SHOT), rows], ignore_index=True)
    shown["method"] = [METHODS[method].label for method in shown["method"]]
    columns = ["train", "base", "new", "HM", "error base", "error new", "drift new"]
    return shown[["method", *columns]]


def zero_shot(table: pd.DataFrame) -> dict[str, float]:
    """Returns half → zero-shot accuracy in percent; empty if it is not known."""
    start = table[(table["method"] == START) & (table["epoch"] == 0)]
    return {} if start.empty else {half: float(start[half].iloc[0]) for half in HALVES}


def against_zero_shot(table: pd.DataFrame, epoch: int) -> dict[str, tuple[float, float]]:
    """Returns method → points gained over zero-shot on base and new classes by an epoch.

    It is empty if zero-shot is not known.

    Args:
        table: from `epoch_table`.
        epoch: the epoch; 0 is before training.
    """
    start, rows = zero_shot(table), table[table["epoch"] == epoch]
    if not start:
        return {}
    base, new = (rows[half] - start[half] for half in HALVES)
    return dict(zip(rows["method"], zip(base, new, strict=True), strict=True))


def reliability_frame(runs: Trainings, epoch: int) -> pd.DataFrame:
    """Returns a row per method, half and bin after an epoch, in percent, also for zero-shot.

    The images of all seeds are counted together. Bins with less than `FEW` of a half's images are
    left out, because they are too noisy.
    """
    shown = [(method, trained, epoch) for method, trained in runs.items()]
    if START in runs:
        shown.insert(0, (ZERO_SHOT, runs[START], 0))
    rows = []
    for method, trained, then in shown:
        for side, half in enumerate(HALVES):
            counts, rights, sums = (  # each (bins,)
                torch.stack([getattr(run, name)[then, side].double() for run in trained]).sum(0)
                for name in ("count", "right", "confidence")
            )
            images = float(counts.sum())
            for index in range(BINS):
                count = int(counts[index])
                if count >= FEW * images:
                    right, total = int(rights[index]), float(sums[index])
                    rows.append((method, half, 100 * total / count, 100 * right / count, count))
    return pd.DataFrame(rows, columns=["method", "half", "confidence", "right", "images"])


def final_table(grid: Grid) -> pd.DataFrame:
    """Returns a row per training of the grid and half, with values before and after training.

    `untrained` is zero-shot accuracy on this half, the same for all methods.
    `gain` is the router's accuracy minus that of the better of two ways without a router: all
    experts equally, or the best single one. `headroom` is the accuracy of a perfect choice of one
    expert minus that of a random one. Both are in points, and missing for methods with one expert.
    """
    rows, start = [], _zero_shot_of(grid)
    for key, run in grid.runs.items():
        for half in HALVES:
            accuracy, routing = run.accuracy(half), run.routing_of(half)
            row = {
                **key._asdict(),
                "half": half,
                "untrained": start.get((key.data, half), float("nan")),
                "before": float(accuracy[0]),
                "after": float(accuracy[-1]),
                "drift": float(run.drift(half)[-1]),
                "error": float(run.calibration_error(half)[-1]),
                "train before": _first_number(run),
                "train after": float(run.train[-1]),
            }
            if routing:
                row |= {name: routing[name] for name in WAYS}
                row["gain"] = routing["gain"]
                row["headroom"] = routing["oracle"] - routing["random"]
            rows.append(row)
    return pd.DataFrame(rows)


WAYS = ("router", "uniform", "random", "best_single", "oracle")


def trainings_of(grid: Grid, data: str, shots: int, rate: float, weight: float) -> Trainings:
    """Returns method → its trainings with these settings, one for each seed.

    Args:
        grid: the trainings.
        data: the data set.
        shots: training images per class.
        rate: the learning rate.
        weight: weight of the text loss, for methods that have one.
    """
    found: dict[str, list[LabRun]] = {}
    for key, run in grid.runs.items():
        own = weight if key.method in SUPERVISED else 0.0
        if (key.data, key.shots, key.weight, key.rate) == (data, shots, own, rate):
            found.setdefault(key.method, []).append(run)
    return found


def _zero_shot_of(grid: Grid) -> dict[tuple[str, str], float]:
    """Returns data set and half → zero-shot accuracy in percent."""
    return {
        (key.data, half): float(run.accuracy(half)[0])
        for key, run in grid.runs.items()
        if key.method == START
        for half in HALVES
    }


def _first_number(run: LabRun) -> float:
    """Returns the first known training accuracy; there is none before the first epoch."""
    known = run.train[~run.train.isnan()]
    return float(known[0]) if len(known) else float("nan")

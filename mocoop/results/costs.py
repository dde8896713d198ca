"""What a training of each method costs: learned numbers, time and memory, from finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from mocoop.markdown import markdown_table
from mocoop.methods import METHODS
from mocoop.presets import differences
from mocoop.runs.run import Run
from mocoop.runs.weights import learned_numbers

SHOTS = 16
HEADS = (
    "method", "learned numbers", "epochs", "seconds per epoch", "seconds in all",
    "memory of a step, MB",
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """What the training of one run cost."""

    learned: int
    """Number of learned numbers."""
    epochs: int
    """Number of epochs; 0 if the training has none."""
    per_epoch: float
    """Median seconds of an epoch, without the validation after it; 0 if epochs are not timed."""
    seconds: float
    """Seconds of the whole training: its epochs, and what comes before and between them."""


def costs_of(runs: Iterable[Run], data: str) -> dict[str, Cost]:
    """Returns method → what a training costs, in the order of the methods.

    Of several seeds, the fastest counts, for an epoch and for the whole: other work on the
    machine only makes a training longer.

    Args:
        runs: finished runs, each once. Those with a method's own settings on all classes of the
            data set, with 16 shots, count, if they learn anything.
        data: a data set.
    """
    found: dict[str, list[Cost]] = {}
    for run in runs:
        setup = run.setup()
        config = setup.config
        usual = not differences(config) and config.classes == "all" and not config.style
        if (config.data, config.shots) != (data, SHOTS) or not usual:
            continue
        if METHODS[config.method].learns != "nothing":
            learned = learned_numbers(setup, run.weights())
            found.setdefault(config.method, []).append(_cost(run, learned, config.epochs))
    return {
        key: Cost(
            own[0].learned,
            own[0].epochs,
            min(cost.per_epoch for cost in own),
            min(cost.seconds for cost in own),
        )
        for key in METHODS
        if (own := found.get(key))
    }


def _cost(run: Run, learned: int, epochs: int) -> Cost:
    taken = [float(record["seconds"]) for record in run.records() if record["epoch"] > 0]
    per_epoch = median(taken) if epochs and taken else 0.0
    return Cost(learned, epochs, per_epoch, float(run.results()["training_seconds"]))


def costs_table(costs: Mapping[str, Cost], memory: Mapping[str, int]) -> str:
    """Returns the Markdown table of what trainings cost.

    Args:
        costs: method → what its training costs, from `costs_of`.
        memory: method → peak memory of a step in bytes, of those that were measured.
    """
    rows = [
        (
            key,
            f"{cost.learned:,}",
            str(cost.epochs or "–"),
            f"{cost.per_epoch:.{2 if cost.per_epoch >= 0.1 else 3}f}" if cost.per_epoch else "–",
            f"{cost.seconds:.1f}",
            f"{memory[key] / 1e6:.0f}" if key in memory else "–",
        )
        for key, cost in costs.items()
    ]
    return markdown_table(HEADS, rows, "lrrrrr") + "\n"

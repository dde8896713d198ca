"""What a training of each method costs: learned numbers and time, from finished runs."""

from __future__ import annotations

from collections.abc import Iterable

from mocoop.markdown import markdown_table
from mocoop.methods import METHODS
from mocoop.presets import differences
from mocoop.runs.run import Run
from mocoop.runs.weights import learned_numbers

SHOTS = 16


def costs(runs: Iterable[Run], data: str) -> str:
    """Returns a Markdown table of the trained methods with their learned numbers and time.

    The time is that of the fastest seed: other work on the machine only makes a training longer.

    Args:
        runs: finished runs, each once. Those with a method's own settings on all classes of the
            data set, with 16 shots, count.
        data: a data set.
    """
    sizes: dict[str, int] = {}
    seconds: dict[str, list[tuple[float, int]]] = {}
    for run in runs:
        setup = run.setup()
        config = setup.config
        usual = not differences(config) and config.classes == "all" and not config.style
        if (config.data, config.shots) != (data, SHOTS) or not usual or not config.epochs:
            continue
        sizes[config.method] = learned_numbers(setup, run.weights())
        taken = run.results()["training_seconds"]
        seconds.setdefault(config.method, []).append((taken, config.epochs))
    rows = [
        (
            key,
            f"{sizes[key]:,}",
            str(seconds[key][0][1]),
            f"{min(taken / epochs for taken, epochs in seconds[key]):.2f}",
            f"{min(taken for taken, _ in seconds[key]):.1f}",
        )
        for key in METHODS
        if key in sizes
    ]
    heads = ("method", "learned numbers", "epochs", "seconds per epoch", "seconds in all")
    return markdown_table(heads, rows, "lrrrr") + "\n"

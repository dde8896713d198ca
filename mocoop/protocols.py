"""Tables over data sets, methods and seeds; what is done is not done again."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mocoop.config import TrainConfig
from mocoop.experiment import run_experiment
from mocoop.presets import preset
from mocoop.runs import FINISHED, Run

Protocol = Literal["few-shot", "base-to-new"]


@dataclass(frozen=True)
class Cell:
    """A data set and a method over all seeds; accuracies in percent, one per seed."""

    data: str
    method: str
    seeds: tuple[int, ...]
    values: dict[str, tuple[float, ...]]
    """Measure (accuracy, or base, new and HM; style NMI) → its value for every seed."""
    seconds: tuple[float, ...]
    """Training time of every seed, without evaluation."""


def protocol_cells(
    protocol: Protocol,
    data: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    shots: int,
    root: Path,
) -> Iterator[Cell]:
    """Trains what is missing and yields a cell per data set and method.

    Few-shot trains and tests on all classes; base-to-new trains on the base half and tests
    base and new images among their own names. A run whose folder is finished is read.

    Args:
        protocol: few-shot or base-to-new.
        data: built-in sets or folders.
        methods: presets, with their default settings.
        seeds: one run each.
        shots: training images per class.
        root: folder of the runs.
    """
    for name in data:
        for method in methods:
            runs = []
            for seed in seeds:
                config = replace(
                    preset(method),
                    data=name,
                    shots=shots,
                    seed=seed,
                    classes="all" if protocol == "few-shot" else "base",
                )
                runs.append(_finished(config, root))
            yield _cell(name, method, tuple(seeds), runs)


def markdown_table(cells: Sequence[Cell]) -> str:
    """Returns the cells as a Markdown table: mean ± standard deviation, then every seed."""
    measures = list(dict.fromkeys(m for cell in cells for m in cell.values))
    lines = [
        f"| data | method | {' | '.join(measures)} | training, s |",
        "|---" * (len(measures) + 3) + "|",
    ]
    for cell in cells:
        shown = [_spread(cell.values.get(measure, ()), measure) for measure in measures]
        seconds = f"{statistics.median(cell.seconds):.1f}"
        lines.append(f"| {cell.data} | {cell.method} | {' | '.join(shown)} | {seconds} |")
    return "\n".join(lines) + "\n"


def _finished(config: TrainConfig, root: Path) -> Run:
    """Returns the finished run of these settings, trained now if there is none."""
    settings = json.dumps(config.to_dict(), sort_keys=True).encode()
    key = hashlib.sha256(settings).hexdigest()[:8]
    name = f"{Path(config.data).name}-{config.method}-{config.shots}shot-seed{config.seed}"
    number = 0
    while True:
        # An unfinished run of the same settings is left alone, and another one started.
        path = root / (f"{name}-{key}" + (f"-{number}" if number else ""))
        if not path.exists():
            break
        if Run(path).status().state == FINISHED:
            return Run(path)
        number += 1
    for _ in run_experiment(config, path):
        pass
    return Run(path)


def _cell(data: str, method: str, seeds: tuple[int, ...], runs: Sequence[Run]) -> Cell:
    values: dict[str, list[float]] = {}
    for run in runs:
        for measure, value in _measures(run.results()).items():
            values.setdefault(measure, []).append(value)
    seconds = tuple(float(run.results()["training_seconds"]) for run in runs)
    return Cell(data, method, seeds, {k: tuple(v) for k, v in values.items()}, seconds)


def _measures(results: dict[str, Any]) -> dict[str, float]:
    """Returns the numbers of one run by the name of their column."""
    if "all" in results:
        measures = {"accuracy": results["all"]["accuracy"]}
        nmi = results["all"]["style_nmi"]
    else:
        measures = {choice: results[choice]["accuracy"] for choice in ("base", "new")}
        measures["HM"] = results["harmonic_mean"]
        nmi = results["base"]["style_nmi"]
    return measures if nmi is None else measures | {"style NMI": nmi}


def _spread(values: Sequence[float], measure: str) -> str:
    """Returns mean ± standard deviation and the single seeds, or a dash."""
    if not values:
        return "–"
    digits = 3 if measure == "style NMI" else 1
    seeds = ", ".join(f"{value:.{digits}f}" for value in values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"**{statistics.fmean(values):.{digits}f}** ± {spread:.{digits}f} ({seeds})"

"""The command lab-grid: trains the runs behind the sliders of the overfitting lab."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mocoop.assets import asset
from mocoop.cli.many_runs import EngineOptions
from mocoop.cli.option_types import MaybePath
from mocoop.cli.output_paths import check_folder
from mocoop.presets import preset
from mocoop.runs.paths import LAB_GRID, default_runs

OWN_RATE = preset("coop").learning_rate  # LASP and MoCoOp have the same


@dataclass(frozen=True)
class LabGridCommand:
    """Train the grid of runs behind the overfitting lab's sliders (about 35 minutes on a core).

    Finished trainings are not repeated. To continue after a stop, run the same command again.
    """

    data: tuple[str, ...] = ("halves", "albums", "details", "pictographs")
    """Built-in data sets."""
    shots: tuple[int, ...] = (2, 16)
    """Training images per class."""
    text_weights: tuple[float, ...] = (0.0, 0.2, 1.0, 5.0)
    """Weights of the text loss of LASP and MoCoOp."""
    learning_rates: tuple[float, ...] = (OWN_RATE / 4, OWN_RATE, 4 * OWN_RATE)
    """Learning rates, constant over all epochs; the middle one is the methods' own."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Random seeds, one training each."""
    epochs: int = 40
    """Epochs of each training; results of fewer epochs are read from it."""
    root: MaybePath = None
    """Folder for finished parts of the grid; by default `lab-grid` in MOCOOP_RUNS or ./runs."""
    out: Path = field(default_factory=lambda: asset("lab"))
    """Folder for the finished grid."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(
        default_factory=lambda: EngineOptions(workers=2)
    )
    show: bool = False
    """Train nothing; show the mean accuracies of the finished grid in `out`."""


def lab_grid(command: LabGridCommand) -> None:
    """Trains the missing runs of the grid and writes it; with --show, prints a finished grid."""
    if command.show:
        _print_means(command.out)
        return
    check_folder("--out", command.out)
    from tqdm import tqdm

    from mocoop.protocols.lab_grid import NUMBERS, Axes, make_grid

    axes = Axes(
        command.data,
        command.shots,
        command.text_weights,
        command.learning_rates,
        command.seeds,
        command.epochs,
    )
    root = command.root or default_runs() / LAB_GRID
    with tqdm(unit="training") as bar:
        for done, total in make_grid(axes, root, command.out, engine=command.engine.chosen()):
            bar.total = total
            bar.update(done - bar.n)
    size = (command.out / NUMBERS).stat().st_size
    print(f"{command.out}: {bar.n} trainings, {size / 1e6:.1f} MB")


def _print_means(folder: Path) -> None:
    """Prints mean test accuracies before and after training, for the largest number of shots."""
    import torch

    from mocoop.protocols.lab import ROUTING
    from mocoop.protocols.lab_grid import read_grid

    grid = read_grid(folder)
    axes, most = grid.axes, max(grid.axes.shots)
    print(
        f"{most} shots, {axes.epochs} epochs: test accuracy in percent, before -> after training, "
        f"mean over {len(axes.seeds)} seeds"
    )
    kept = {key: run for key, run in grid.runs.items() if key.shots == most}
    for key in (key for key in kept if key.seed == axes.seeds[0]):
        runs = [run for other, run in kept.items() if other[:-1] == key[:-1]]  # all seeds
        line = f"{key.data:<11} rate {key.rate:<4g} {key.method:<6} text weight {key.weight:<3g}"
        for half in ("base", "new"):
            first, last = (
                torch.stack([run.accuracy(half)[epoch] for run in runs]).mean()
                for epoch in (0, -1)
            )
            line += f"  {half} {first:.1f} -> {last:.1f}"
        routing = torch.stack([run.routing for run in runs]).mean(dim=(0, 1))  # (ways,)
        if not routing.isnan().any():
            ways = dict(zip(ROUTING, routing.tolist(), strict=True))
            line += f"  router {ways['router']:.1f}, equal weights {ways['uniform']:.1f}"
        print(line)

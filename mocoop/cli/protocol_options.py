"""What can be said to the commands that train many runs; their help is made from these fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mocoop.assets import asset
from mocoop.cli.option_types import MaybePath


@dataclass(frozen=True)
class TableOutput:
    """Where result tables go."""

    csv: MaybePath = None
    """Also write every seed's numbers to this CSV file."""
    markdown: MaybePath = None
    """Also write the tables to this Markdown file."""
    latex: MaybePath = None
    """Also write the tables to this LaTeX file (needs the package booktabs)."""
    json: bool = False
    """Print every seed's numbers as one JSON document instead of tables."""


@dataclass(frozen=True)
class ProtocolCommand:
    """Train and test several data sets, methods, shots and seeds, and print tables.

    What is done already is read, not done again: run the same line to go on.

    Examples:
        mocoop protocol few-shot --shots 1 2 4 8 16 --workers 2
        mocoop protocol base-to-new --data games faces --methods coop lasp mocoop
        mocoop protocol domain-generalization --style photo --shots 4
        mocoop protocol cross-dataset --data pictographs faces games
    """

    protocol: Annotated[
        Literal["few-shot", "base-to-new", "domain-generalization", "cross-dataset"],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="PROTOCOL"),
    ]
    """few-shot: all classes. base-to-new: train on the base half, test base and new names.
    domain-generalization: train on one style, test on the others (or on --targets).
    cross-dataset: train on the first data set, test on the others with their own names."""
    data: tuple[str, ...] = ("pictographs", "faces", "games", "digits")
    """Built-in sets or folders of images."""
    methods: tuple[str, ...] = ("zero-shot", "coop", "lasp", "mocoop")
    """Methods, each with its default settings."""
    shots: tuple[int, ...] = (16,)
    """Training images per class."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds, one run each."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    style: str = "photo"
    """Domain generalisation: the style to train on."""
    targets: tuple[str, ...] = ()
    """Domain generalisation: data sets to test on, with their own class names."""
    root: Path = Path("runs/protocol")
    """Folder of the runs."""
    workers: int = 1
    """Runs trained at the same time."""
    measures: bool = False
    """few-shot: also tables of calibration and routing measures, after those of accuracy."""
    output: Annotated[TableOutput, tyro.conf.arg(name="")] = field(default_factory=TableOutput)


@dataclass(frozen=True)
class AblationCommand:
    """Take a mixture apart: every variant few-shot and base-to-new, against the full method.

    Examples:
        mocoop ablation --data games digits
        mocoop ablation --variants no-gate-loss one-group k-1 --method mocoop-ln
    """

    data: tuple[str, ...] = ("pictographs", "faces", "games", "digits")
    """Built-in sets or folders of images."""
    variants: tuple[str, ...] = ()
    """What to try beside the full method; all by default. `no-gate-loss`, `no-text-loss`,
    `one-group`, `random-groups`, `k-1`, `k-all`, `experts-3`, `experts-6`, `tau-one`,
    `tau-logit`, `all-names`, `gate-scaled`, `gate-soft`, `no-correction`."""
    method: str = "mocoop"
    """The mixture to take apart: `mocoop` or `mocoop-ln`."""
    shots: int = 16
    """Training images per class."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds, one run each."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    root: Path = Path("runs/protocol")
    """Folder of the runs."""
    workers: int = 1
    """Runs trained at the same time."""
    output: Annotated[TableOutput, tyro.conf.arg(name="")] = field(default_factory=TableOutput)


@dataclass(frozen=True)
class TuneCommand:
    """Compare recipes of a method on validation images; the test images are never touched.

    Every combination of the grid is trained on every data set, shot and seed, and judged by
    the mean accuracy on the whole validation splits.

    Examples:
        mocoop tune mocoop --grid learning_rate=0.1,0.2,0.5,1
        mocoop tune lasp-ln --grid learning_rate=0.2,0.5 layer_norm_rate=0.03,0.1
    """

    method: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")]
    """The preset to start from."""
    grid: tuple[str, ...]
    """Settings with the values to try, each as `name=value,value,...`."""
    data: tuple[str, ...] = ("pictographs", "faces", "games", "digits")
    """Built-in sets or folders of images."""
    shots: tuple[int, ...] = (16, 4)
    """Training images per class."""
    seeds: tuple[int, ...] = (1,)
    """Seeds, one training each."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class ResultsCommand:
    """Run all protocols on the built-in sets and write the page of results (RESULTS.md).

    What is done already is read, not done again: run the same line to go on.
    """

    out: Path = Path("RESULTS.md")
    """The page; a CSV file with every seed's numbers is written beside it."""
    root: Path = Path("runs/protocol")
    """Folder of the runs."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds, one run each."""
    workers: int = 2
    """Runs trained at the same time."""


@dataclass(frozen=True)
class LabGridCommand:
    """Train the grid of runs that answers the overfitting lab's sliders (about 20 minutes).

    What is done already is read, not done again: run the same line to go on.
    """

    data: tuple[str, ...] = ("pictographs", "faces", "games", "digits")
    """Built-in sets."""
    shots: tuple[int, ...] = (1, 4, 16)
    """Training images per class."""
    text_weights: tuple[float, ...] = (0.0, 1.0, 5.0, 20.0)
    """Weights of the text loss of LASP and MoCoOp."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds, one training each."""
    epochs: int = 40
    """Epochs of each training; shorter ones are its beginnings."""
    root: Path = Path("runs/lab-grid")
    """Folder of finished parts."""
    out: Path = field(default_factory=lambda: asset("lab"))
    """Folder of the grid."""
    workers: int = 2
    """Trainings at the same time."""
    show: bool = False
    """Train nothing; show the mean accuracies of the finished grid in `out`."""

"""What can be said to each command; the help texts are made from these fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mocoop.assets import asset
from mocoop.config import TrainConfig
from mocoop.demo_config import DemoClipConfig

RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True)
class TrainCommand:
    """Train a run: few-shot images, soft prompts, router; then test it.

    Examples:
        mocoop train --data pictographs --method mocoop --shots 16 --seed 1
        mocoop train --data ~/photos --method coop --run runs/my-photos
        mocoop train --data faces --classes base        (base-to-new: then also tests new)
    """

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    run: Path | None = None
    """Folder of the new run; by default a new one under MOCOOP_RUNS or ./runs."""
    templates: Path | None = None
    """YAML file of template groups (name: [templates ...]) instead of the data set's own."""
    config: Path | None = None
    """JSON file of settings to start from, such as a run's own; options override it."""
    json: bool = False
    """Print the results as one JSON document."""
    quiet: bool = False
    """No progress bar and no text."""


@dataclass(frozen=True)
class EvaluateCommand:
    """Test a finished run on its data set's test images."""

    run: RunName
    """Folder or name of the run."""
    classes: Literal["all", "base", "new"] | None = None
    """Which classes; by default those that the run was made for."""
    json: bool = False
    """Print the results as one JSON document."""


@dataclass(frozen=True)
class PredictCommand:
    """Classify image files with a finished run: label, probabilities, experts."""

    run: RunName
    """Folder or name of the run."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    """Image files."""
    top: int = 3
    """How many labels to print for each image."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class RunsCommand:
    """List the runs, newest first, with state and test accuracy."""

    root: Path | None = None
    """Folder of runs; by default MOCOOP_RUNS or ./runs, and those that ship with MoCoOp."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class DataCommand:
    """List the built-in data sets, or describe one data set or folder of images."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """Built-in set or folder of class folders; all built-in sets if left out."""
    sheet: Path | None = None
    """Write a contact sheet of training images to this PNG file."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class ProtocolCommand:
    """Train and test several data sets, methods and seeds, and print a table.

    What is done already is read, not done again: run the same line to go on.

    Examples:
        mocoop protocol few-shot
        mocoop protocol base-to-new --data games faces --methods coop mocoop
    """

    protocol: Annotated[
        Literal["few-shot", "base-to-new"],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="{few-shot,base-to-new}"),
    ]
    """few-shot: all classes. base-to-new: train on the base half, test base and new."""
    data: tuple[str, ...] = ("pictographs", "faces", "games", "digits")
    """Built-in sets or folders of images."""
    methods: tuple[str, ...] = ("zero-shot", "coop", "mocoop")
    """Methods, each with its default settings."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds, one run each."""
    shots: int = 16
    """Training images per class."""
    root: Path = Path("runs/protocol")
    """Folder of the runs."""
    json: bool = False
    """Print one JSON document instead of a Markdown table."""


@dataclass(frozen=True)
class DemoClipCommand:
    """Train the small CLIP of the built-in demo, on pictures drawn while it trains."""

    settings: Annotated[DemoClipConfig, tyro.conf.arg(name="")] = field(
        default_factory=DemoClipConfig
    )
    out: Path = field(default_factory=lambda: asset("demo-clip"))
    """Folder for weights, config and model card."""
    json: bool = False
    """Print the last record as JSON."""

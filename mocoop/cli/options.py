"""What can be said to each command; the help texts are made from these fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mocoop.assets import asset
from mocoop.cli.option_types import MaybeInt, MaybePath
from mocoop.config import TrainConfig
from mocoop.training.demo_config import DemoClipConfig

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
    run: MaybePath = None
    """Folder of the new run; by default a new one under MOCOOP_RUNS or ./runs."""
    templates: MaybePath = None
    """YAML file of template groups (name: [templates ...]) instead of the data set's own."""
    config: MaybePath = None
    """JSON file of settings to start from, such as a run's own; options override it."""
    json: bool = False
    """Print the results as one JSON document."""
    quiet: bool = False
    """No progress bar and no text."""
    wait: bool = False
    """Wait in the app's queue until every other training of the folder of runs is done."""


@dataclass(frozen=True)
class ResumeCommand:
    """Go on with a run that was interrupted or cancelled, from its last saved epoch.

    On a CPU the outcome is, bit for bit, that of the run had it not stopped.
    """

    run: RunName
    """Folder or name of the run."""
    json: bool = False
    """Print the results as one JSON document."""
    quiet: bool = False
    """No progress bar and no text."""


@dataclass(frozen=True)
class EvaluateCommand:
    """Test a finished run on its data set's test images."""

    run: RunName
    """Folder or name of the run."""
    classes: Annotated[
        Literal["all", "base", "new"] | None,
        tyro.conf.arg(metavar="{all,base,new}", help_behavior_hint=""),
    ] = None
    """Which classes; by default those that the run was made for."""
    json: bool = False
    """Print the results as one JSON document."""


@dataclass(frozen=True)
class PredictCommand:
    """Classify images with a finished run: label, probabilities, experts.

    Files that cannot be read are told, the others go on, and the exit code is then 2.
    """

    run: RunName
    """Folder or name of the run."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    """Image files, or folders of images."""
    top: int = 3
    """How many labels to print for each image."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class RunsCommand:
    """List the runs, newest first, with state and test accuracy."""

    root: MaybePath = None
    """Folder of runs; by default MOCOOP_RUNS or ./runs, and those that ship with MoCoOp."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class PackCommand:
    """Write a finished run as one zip: settings, metrics, weights and a model card.

    Example:
        mocoop pack games-mocoop-16shot-seed1-001 --out my-run.zip
    """

    run: RunName
    """Folder or name of the run."""
    out: MaybePath = None
    """The file; by default the run's name in the current folder. An older one is replaced."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class UnpackCommand:
    """Unpack and check a run that `mocoop pack` or the app's page Compare has written.

    Files of unknown names or outside the run's folder, links and damaged content are refused,
    and then nothing is kept.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The zip file."""
    name: str = ""
    """The run's name here; by default the one it was exported with."""
    root: MaybePath = None
    """Folder of runs; by default MOCOOP_RUNS or ./runs."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class BenchCommand:
    """Measure a training step, the plain path against ours, and print a table.

    Each side runs in a process of its own, by turns. The plain path is left out where it would
    not fit the free memory. Nothing is written unless --out or --write asks for it.

    On 2 cores --quick takes about 3 minutes, everything half an hour to an hour.

    Examples:
        mocoop bench --quick
        mocoop bench --threads 2 --out ~/measured
    """

    quick: bool = False
    """Three small sizes, two rounds each: about 3 minutes on 2 cores."""
    out: MaybePath = None
    """Folder to write page, JSON and curves to: BENCHMARKS.md, bench.json and scaling.png, or
    bench-quick.md, .json and .png. They are written at the end; until then, what is measured
    so far is kept there as .partial.json."""
    write: bool = False
    """In a checkout: replace the project's own BENCHMARKS.md and assets/bench at the end, with
    the remarks of assets/bench/notes.md. Not with --quick."""
    backbone: str = "ViT-B-16"
    """An open_clip architecture (random weights cost what real ones cost), `demo`, or the path
    of a local checkpoint."""
    repeats: MaybeInt = None
    """Rounds of each size; the medians are over them. By default 5, with --quick 2."""
    limit: float = 180.0
    """Seconds after which no further round of the same size is begun."""
    threads: int = 2
    """Processor threads of each side."""
    device: str = "cpu"
    """`cpu`, `cuda` ..."""
    json: bool = False
    """Print the measurements as one JSON document."""


@dataclass(frozen=True)
class ExportCommand:
    """Write a finished run as a classifier that needs no text tower.

    The folder holds text features and router as safetensors and as ONNX (image feature in,
    probabilities out), class names, and which image tower they belong to.

    Examples:
        mocoop export runs/my-run --out my-classifier
        mocoop export runs/my-run --out my-classifier --no-onnx
    """

    run: RunName
    """Folder or name of the run."""
    out: Path
    """The new folder."""
    onnx: bool = True
    """Also write head.onnx."""
    json: bool = False
    """Print one JSON document."""


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

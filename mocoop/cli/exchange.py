"""The command import: prompts that CoOp's, CoCoOp's or MoCoOp's own code trained, as a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mocoop.cli.console import print_json, print_results
from mocoop.cli.option_types import MaybePath
from mocoop.cli.train import with_templates
from mocoop.config import TrainConfig
from mocoop.runs.paths import short_name
from mocoop.shots import Shots


@dataclass(frozen=True)
class ImportCommand:
    """Make a run of prompts that CoOp's, CoCoOp's or MoCoOp's own code trained, and test it.

    The checkpoint is the file in prompt_learner/ that Dassl wrote. Nothing in it is run. Which
    classes and which CLIP it was trained with is checked by the token embeddings that it stores.

    Example:
        mocoop import output/prompt_learner/model.pth.tar-50 --data dtd --backbone ViT-B-16.pt
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The checkpoint, such as model.pth.tar-50."""
    data: str
    """The data set, as in `mocoop train`."""
    backbone: str
    """The CLIP that the prompts were trained with, such as ViT-B-16-quickgelu/openai."""
    position: Literal["end", "middle", "front"] = "end"
    """Position of the class name in CoOp's context (its CLASS_TOKEN_POSITION)."""
    templates: MaybePath = None
    """For MoCoOp: YAML file with the groups of templates that it was trained with, one per
    expert; by default the data set's own groups."""
    shots: Shots = 16
    """Training images per class, as it was trained; only to name and compare the run."""
    seed: int = 1
    """Its seed; only to name and compare the run."""
    run: MaybePath = None
    """Folder of the new run; by default a new name in MOCOOP_RUNS or ./runs."""
    json: bool = False
    """Print the results as one JSON document."""


def import_run(command: ImportCommand) -> None:
    """Imports a checkpoint as a run and prints its results.

    Raises:
        UserError: for a file that cannot be read, or does not fit the CLIP or the classes.
    """
    config = TrainConfig(
        data=command.data, backbone=command.backbone, shots=command.shots, seed=command.seed
    )
    if command.templates is not None:
        config = with_templates(config, command.templates)
    from mocoop.datasets import check_name
    from mocoop.exchange.import_prompts import import_prompts

    check_name(config.data)
    run = import_prompts(command.file, config, command.run, command.position)
    if command.json:
        print_json({"run": str(run.path), "results": run.results()})
        return
    print(f"run: {run.path}")
    print_results(run.results())
    print(f"for more: mocoop evaluate {short_name(run.path)}, or open it in the app")

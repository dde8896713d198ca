"""The commands protocol, ablation and tune: they train many runs and print their tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

import tyro

from mocoop.cli.console import print_json
from mocoop.cli.many_runs import EngineOptions, run_all
from mocoop.cli.option_types import MaybeInt, MaybePath
from mocoop.cli.table_output import TableOutput, check_files, print_tables
from mocoop.errors import UserError
from mocoop.runs.paths import protocol_runs
from mocoop.shots import Shots


@dataclass(frozen=True)
class ProtocolCommand:
    """Train and test runs of several data sets, methods, shots and seeds, and print tables.

    Finished runs are not repeated. To continue after a stop, run the same command again.

    Examples:
        mocoop protocol few-shot --shots 1 2 4 8 16 --workers 2
        mocoop protocol base-to-new --data details faces --methods coop lasp mocoop
        mocoop protocol domain-generalization --style photo --shots 4
        mocoop protocol cross-dataset --data albums details things
    """

    protocol: Annotated[
        Literal["few-shot", "base-to-new", "domain-generalization", "cross-dataset"],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="PROTOCOL"),
    ]
    """few-shot: train and test on all classes. base-to-new: train on the base half of the
    classes, test on the base and the new half. domain-generalization: train on one style, test
    on the others (or on --targets). cross-dataset: train on the first data set, test on the
    others with their own class names."""
    data: tuple[str, ...] = ("albums", "details", "halves", "things")
    """Built-in sets or folders of images."""
    methods: tuple[str, ...] = ("zero-shot", "coop", "lasp", "mocoop")
    """Methods, each with its default settings."""
    shots: tuple[Shots, ...] = (16,)
    """Training images per class; `all` for all of them."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Random seeds, one run each."""
    epochs: MaybeInt = None
    """Epochs of every training; by default each method's own number."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    style: str = "photo"
    """domain-generalization: the style to train on."""
    targets: tuple[str, ...] = ()
    """domain-generalization: data sets to test on, with their own class names."""
    root: MaybePath = None
    """Folder of the runs; by default `protocol` in MOCOOP_RUNS or ./runs."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(default_factory=EngineOptions)
    measures: bool = False
    """few-shot: also print tables of calibration and routing, after those of accuracy."""
    output: Annotated[TableOutput, tyro.conf.arg(name="")] = field(default_factory=TableOutput)


@dataclass(frozen=True)
class AblationCommand:
    """Compare a mixture with variants that change one part of it, few-shot and base-to-new.

    Finished runs are not repeated. To continue after a stop, run the same command again.

    Examples:
        mocoop ablation --data details digits
        mocoop ablation --variants no-gate-loss one-group k-1 --method mocoop-ln
    """

    data: tuple[str, ...] = ("albums", "details", "halves", "things")
    """Built-in sets or folders of images."""
    variants: tuple[str, ...] = ()
    """Variants to compare with the full method; by default all that fit the data:
    `no-gate-loss`, `no-text-loss`, `one-group`, `random-groups`, `k-1`, `k-all`, `experts-3`,
    `experts-6`, `tau-one`, `tau-logit`, `all-names`, `gate-scaled`, `gate-soft`,
    `no-correction`; with vision prompts `no-vision`, `vision-block-1`, `vision-deeper`,
    `vision-tokens-1`, `vision-keys`, `router-tuned`, `own-vision`, `averaged`, with consistency
    `no-consistency`; with conditional contexts `no-shift`, `own-shift`, `deeper-texts`,
    `late-shift`."""
    method: str = "mocoop"
    """The mixture to change, such as `mocoop` or `mocoop-ln`."""
    shots: Shots = 16
    """Training images per class; `all` for all of them."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Random seeds, one run each."""
    epochs: MaybeInt = None
    """Epochs of every training; by default each method's own number."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    root: MaybePath = None
    """Folder of the runs; by default `protocol` in MOCOOP_RUNS or ./runs."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(default_factory=EngineOptions)
    output: Annotated[TableOutput, tyro.conf.arg(name="")] = field(default_factory=TableOutput)


@dataclass(frozen=True)
class TuneCommand:
    """Compare settings of a method on validation images. The test images are never used.

    Every combination of the grid is trained on every data set, number of shots and seed. Its
    score is the mean accuracy on the full validation splits.

    Examples:
        mocoop tune mocoop --grid learning_rate=0.1,0.2,0.5,1
        mocoop tune lasp-ln --grid learning_rate=0.2,0.5 layer_norm_rate=0.03,0.1
    """

    method: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")]
    """The method whose default settings are changed."""
    grid: tuple[str, ...]
    """Settings and the values to try, each as `name=value,value,...`."""
    data: tuple[str, ...] = ("albums", "details", "halves", "things")
    """Built-in sets or folders of images."""
    shots: tuple[Shots, ...] = (16, 4)
    """Training images per class."""
    seeds: tuple[int, ...] = (1,)
    """Random seeds, one training each."""
    epochs: MaybeInt = None
    """Epochs of every training; by default the method's own number."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(default_factory=EngineOptions)
    json: bool = False
    """Print one JSON document."""


def protocol(command: ProtocolCommand) -> None:
    """Trains and tests a protocol's runs and prints its tables."""
    check_files(command.output)
    _check_options(command)
    from mocoop.protocols.plans import Plan, tasks
    from mocoop.results.page import tables_of

    plan = Plan(
        command.protocol,
        command.data,
        command.methods,
        command.shots,
        command.seeds,
        command.backbone,
        command.style,
        command.targets,
        command.epochs,
    )
    root, engine = command.root or protocol_runs(), command.engine.chosen()
    rows, _ = run_all(tasks(plan), root, engine, quiet=command.output.json)
    print_tables(rows, tables_of(rows, command.protocol, command.measures), command.output)


def _check_options(command: ProtocolCommand) -> None:
    """Raises UserError for options that the protocol would not look at."""
    across_styles = command.protocol == "domain-generalization"
    if command.targets and not across_styles:
        more = " Give all data sets with --data." if command.protocol == "cross-dataset" else ""
        raise UserError(f"--targets goes with domain-generalization: leave it out.{more}")
    if command.style != ProtocolCommand.style and (command.targets or not across_styles):
        raise UserError(
            "--style goes with domain-generalization without --targets, where the other styles "
            "are tested: leave it out."
        )
    if command.measures and command.protocol != "few-shot":
        raise UserError(
            "--measures goes with few-shot: leave it out. The measures of the other protocols are "
            "in --csv."
        )


def ablation(command: AblationCommand) -> None:
    """Trains and tests the variants of a mixture and prints their table."""
    check_files(command.output)
    from mocoop.protocols.ablations import ablation_tasks
    from mocoop.results.page import tables_of

    tasks = ablation_tasks(
        command.data,
        command.variants,
        command.method,
        command.shots,
        command.seeds,
        command.backbone,
        command.epochs,
    )
    root, engine = command.root or protocol_runs(), command.engine.chosen()
    rows, _ = run_all(tasks, root, engine, quiet=command.output.json)
    print_tables(rows, tables_of(rows, "ablation"), command.output)


def tune(command: TuneCommand) -> None:
    """Prints the validation accuracy of every candidate of a grid as soon as it is trained."""
    from mocoop.protocols.tuning import tune as train_candidates

    grid = {}
    for text in command.grid:
        name, sign, values = text.partition("=")
        if not sign or not values:
            raise UserError(f"Expected a grid such as learning_rate=0.1,0.2; got {text!r}.")
        if name in grid:
            raise UserError(
                f"The grid has {name} twice. Give all its values at once, as in {name}=1,2."
            )
        grid[name] = values.split(",")
    candidates = []
    for candidate in train_candidates(
        command.method,
        grid,
        command.data,
        command.shots,
        command.seeds,
        command.backbone,
        command.epochs,
        command.engine.chosen(),
    ):
        candidates.append(candidate)
        if not command.json:
            settings = ", ".join(f"{name} {value}" for name, value in candidate.changes.items())
            print(f"{candidate.mean:6.2f} %  {settings}", flush=True)
    best = max(candidates, key=lambda candidate: candidate.mean)
    if command.json:
        print_json([asdict(candidate) | {"mean": candidate.mean} for candidate in candidates])
    else:
        settings = ", ".join(f"{name} {value}" for name, value in best.changes.items())
        print(f"best on validation images: {settings} ({best.mean:.2f} %)")

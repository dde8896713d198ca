"""The command `mocoop data compare`: made groups of templates, hand-made ones, and controls."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated

import tyro

from mocoop.cli.console import print_json, progress_bar
from mocoop.cli.many_runs import EngineOptions
from mocoop.cli.option_types import MaybeInt, MaybePath
from mocoop.cli.output_paths import check_file
from mocoop.runs.paths import protocol_runs


@dataclass(frozen=True)
class CompareTemplates:
    """Train a mixture with made groups of templates, hand-made ones and controls; print a table.

    The templates of the built-in grammar are grouped anew for every seed, few-shot and
    base-to-new. The table has means over seeds, differences to the hand-made groups with a 95 %
    confidence interval, and the adjusted Rand index of first experts and true styles. Finished
    runs are not repeated.

    Examples:
        mocoop data compare
        mocoop data compare --sets details --seeds 1 2 3 4 5
        mocoop data compare --kinds hand-made "made by images"
    """

    sets: tuple[str, ...] = ("albums", "details", "halves", "things")
    """Data sets with hand-made groups."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Random seeds: a grouping and a run of each kind for each."""
    kinds: tuple[str, ...] = ()
    """Kinds of groups to train with, as they stand in the table; by default all."""
    shots: int = 16
    """Training images per class."""
    method: str = "mocoop"
    """The mixture that is trained."""
    epochs: MaybeInt = None
    """Epochs of every training; by default the method's own number."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    runs: MaybePath = None
    """Folder of the runs; by default `protocol` in MOCOOP_RUNS or ./runs."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(default_factory=EngineOptions)
    csv: MaybePath = None
    """Also write the numbers of every seed to this CSV file."""
    json: bool = False
    """Print the numbers of every seed as one JSON document."""


def compare(command: CompareTemplates) -> None:
    """Makes the groups, trains and tests the runs, and prints their table.

    Raises:
        UserError: for data that the protocols cannot use.
    """
    check_file("--csv", command.csv)
    from mocoop.cli.many_runs import run_all
    from mocoop.clip.backbone import load_backbone
    from mocoop.features.cache import FeatureCache
    from mocoop.protocols.template_comparison import comparison_tasks, mean_agreements, of_kinds
    from mocoop.results.rows import to_csv
    from mocoop.results.template_groups import groups_table
    from mocoop.storage.atomic import write_text
    from mocoop.template_making.controls import HAND
    from mocoop.template_making.grammar import grammar_templates

    backbone = load_backbone(command.backbone, "auto")
    with progress_bar(not command.json, "encoding images") as images:
        cache = FeatureCache(backbone, progress=images)
        tasks = comparison_tasks(
            command.sets,
            grammar_templates(),
            backbone,
            cache,
            command.seeds,
            command.shots,
            command.method,
            command.epochs,
        )
        tasks = of_kinds(tasks, command.kinds)
        root = command.runs or protocol_runs()
        rows, _ = run_all(tasks, root, command.engine.chosen(), quiet=command.json)
        agreements = mean_agreements(tasks, root, backbone, cache)
    if command.csv is not None:
        write_text(command.csv, to_csv(rows))
    if command.json:
        print_json([asdict(row) for row in rows])
        return
    print(groups_table(rows, HAND, agreements))

"""RESULTS.md: every protocol on the built-in sets, as text around the tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import torch

from mocoop.analysis.interaction import interaction_shares
from mocoop.clip.backbone import DEMO, load_backbone
from mocoop.datasets import BUILTIN, load_dataset
from mocoop.evaluation.measure_table import Section, in_section
from mocoop.markdown import markdown_table
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.protocols.ablations import ablation_tasks
from mocoop.protocols.plans import Plan, Task, tasks
from mocoop.results.cells import Table
from mocoop.results.every_seed import every_seed
from mocoop.results.markup import to_markdown
from mocoop.results.protocol_rows import time_spent
from mocoop.results.published import published_domain_table
from mocoop.results.rows import Row
from mocoop.results.tables import (
    ablation_table,
    base_to_new_tables,
    few_shot_tables,
    measure_table,
    transfer_tables,
)
from mocoop.runs.run import Run

SHOTS = (1, 2, 4, 8, 16)
STYLE_SHOTS = 4  # as many photos as each class of a drawn set has


def all_tasks(seeds: Sequence[int] = (1, 2, 3)) -> list[Task]:
    """Returns the runs of the whole page, all protocols on the built-in sets."""
    # With all classes trained there are no other names, and LASP-V is LASP.
    methods = tuple(key for key in METHODS if preset(key).text_classes == "seen")
    leaving = tuple(key for key in methods if not METHODS[key].own_classes_only)
    drawn = tuple(seeds)
    return [
        *tasks(Plan("few-shot", BUILTIN, methods, SHOTS, drawn)),
        *tasks(Plan("base-to-new", BUILTIN, tuple(METHODS), (16,), drawn)),
        *tasks(Plan("domain-generalization", BUILTIN, methods, (STYLE_SHOTS,), drawn)),
        *tasks(Plan("cross-dataset", BUILTIN, leaving, (16,), drawn)),
        *ablation_tasks(BUILTIN, seeds=drawn),
    ]


def tables_of(
    rows: Sequence[Row], protocol: str, measures: bool = True, published: bool = True
) -> list[Table]:
    """Returns the tables of one protocol's rows.

    Args:
        rows: its numbers.
        protocol: which one.
        measures: few-shot: also a table of each measure beyond accuracy.
        published: base-to-new: published averages stand below our own.
    """
    if protocol == "few-shot":
        return [*few_shot_tables(rows), *(_measures(rows, "beyond accuracy") if measures else ())]
    if protocol == "base-to-new":
        return list(base_to_new_tables(rows, published))
    if protocol == "ablation":
        return [ablation_table(rows)]
    return list(transfer_tables(rows, protocol))


def page(rows: Sequence[Row], runs: Sequence[Run]) -> str:
    """Returns RESULTS.md as Markdown.

    Args:
        rows: the numbers of `all_tasks`.
        runs: the different runs that they are of.
    """
    count, total, median = time_spent(runs)
    few = [row for row in rows if row.protocol == "few-shot" and row.shots in (0, 16)]
    parts = [
        "# Results\n",
        "All numbers on this page were measured with the small CLIP that ships with the "
        "project, on the built-in sets, by one command:\n",
        "```sh\nmocoop results --workers 2\n```\n",
        f"{count} runs, together {total / 3600:.1f} hours of training and testing (median "
        f"{median:.1f} s a run), on {os.cpu_count()} processor cores, {_accelerator()}, with "
        f"torch {version('torch')}, open_clip {version('open_clip_torch')} and Python "
        f"{platform.python_version()}. Every seed's numbers are in [RESULTS.csv](RESULTS.csv).\n",
        "Accuracy in percent on the test images, mean ± sample standard deviation (n − 1) over "
        "the seeds; the best of a column is bold. Recipes were chosen on validation images "
        "(see the README); nothing was chosen on test images. Methods ending in "
        "-ln also tune the image tower's LayerNorms, as the published LASP and MoCoOp do; the "
        "others leave it frozen. LASP-V is LASP wherever all classes are trained, and stands in "
        "base-to-new alone.\n",
        _section("Few-shot", few_shot_tables(rows)),
        _section("Base-to-new", base_to_new_tables(rows)),
        "## Domain generalisation\n",
        f"Trained on {STYLE_SHOTS} images per class of the style photo alone (the first column), "
        "tested on every other style.\n",
        *map(to_markdown, transfer_tables(rows, "domain-generalization")),
        to_markdown(published_domain_table()),
        _section("Cross-data-set", transfer_tables(rows, "cross-dataset")),
        "## Beyond accuracy\n",
        "Few-shot runs with 16 shots.\n",
        *map(to_markdown, _measures(few, "beyond accuracy")),
        "## Does routing matter?\n",
        "Test accuracy of the same trained experts under other choices: all with equal weight, "
        "one at random, the one that is best on the validation images, and (an upper bound) "
        "whichever is right. Few-shot runs with 16 shots.\n",
        *map(to_markdown, _measures(few, "routing")),
        _section("Ablation", [ablation_table(rows)]),
        _interaction(),
        "## Every seed\n",
        "Few-shot with 16 shots, and base-to-new; all others are in RESULTS.csv.\n",
        *(to_markdown(every_seed(chosen, name)) for chosen, name in _seeds_shown(rows, few)),
    ]
    return "\n".join(parts)


def _seeds_shown(rows: Sequence[Row], few: Sequence[Row]) -> Iterator[tuple[list[Row], str]]:
    """Yields the rows whose every seed is shown on the page, with their measure."""
    yield [row for row in few if row.measure == "accuracy"], "accuracy"
    yield [row for row in rows if row.protocol == "base-to-new" and row.measure == "HM"], "HM"


def _interaction() -> str:
    """Returns the section on how far the small CLIP's contexts and names interact."""
    tower = load_backbone(DEMO).text
    lines = [
        "## What a context can change here\n",
        "Share of the hard prompts' text features (all templates × all classes, two-way analysis "
        "of variance) that depends on the template alone, on the class name alone, and on both "
        "together. A context that all classes share can change which class wins only through the "
        "last part.\n",
    ]
    rows = []
    for name in BUILTIN:
        data = load_dataset(name)
        found = interaction_shares(tower, data.templates.groups, data.class_names)
        shares = (found.context, found.name, found.interaction)
        rows.append((name, *(f"{share:.1f}" for share in shares)))
    heads = ("data", "template, %", "class name, %", "both together, %")
    return "\n".join([*lines, markdown_table(heads, rows, "lrrr")]) + "\n"


def _accelerator() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def _section(title: str, tables: Sequence[Table]) -> str:
    return "\n".join([f"## {title}\n", *map(to_markdown, tables)])


def _measures(rows: Sequence[Row], section: Section) -> list[Table]:
    """Returns a table for each of a section's measures that there is."""
    there = {row.measure for row in rows if row.protocol == "few-shot"}
    names = [measure.name for measure in in_section(section)]
    return [measure_table(rows, name, "few-shot") for name in names if name in there]

"""The page RESULTS.md: the tables of all protocols on the built-in sets, with explanations."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version

import torch

from mocoop.analysis.interaction import interaction_shares
from mocoop.bench.step_memory import step_memory
from mocoop.clip.backbone import load_backbone
from mocoop.config import DEMO
from mocoop.datasets import BUILTIN, load_dataset
from mocoop.evaluation.measure_table import Section, in_section
from mocoop.markdown import markdown_table
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.protocols.ablations import ablation_tasks
from mocoop.protocols.plans import Plan, Task, tasks
from mocoop.results.added_parts import Addition, added_parts
from mocoop.results.cells import Table
from mocoop.results.costs import SHOTS, Cost, costs_of, costs_table
from mocoop.results.every_seed import every_seed
from mocoop.results.markup import to_markdown
from mocoop.results.protocol_rows import time_spent
from mocoop.results.published import published_domain_table
from mocoop.results.rows import Row, method_in
from mocoop.results.tables import (
    ablation_table,
    base_to_new_tables,
    few_shot_tables,
    measure_table,
    transfer_tables,
)
from mocoop.runs.run import Run

FEWER_SHOTS = (1, 2, 4, 8)
CURVES_ON = ("albums", "details")
LAYER_NORMS_ON = ("albums",)
COSTS_OF = "albums"
PARTS_ON = ("albums", "details", "halves")
STYLE_SHOTS = 4
OF_VISION = (
    "one-group", "no-vision", "vision-block-1", "vision-deeper", "vision-tokens-1",
    "router-tuned", "own-vision", "averaged",
)  # fmt: skip
OF_CONDITION = ("no-shift", "own-shift", "deeper-texts", "late-shift")
NEW_PARTS = (("mocoop-v", OF_VISION), ("mocoop-cond", OF_CONDITION))
NEW_PARTS_ON = ("albums",)
"""Where the parts that only these methods have are left out."""

ADDITIONS = (
    Addition("a mixture of text prompts, to one text prompt", "mocoop", "lasp"),
    Addition("a mixture of text prompts, to vision prompts", "mocoop-v", "ivlp"),
    Addition("vision prompts, to a mixture of text prompts", "mocoop-v", "mocoop"),
    Addition("consistency with the frozen CLIP, to both", "mocoop-src", "mocoop-v"),
    Addition("contexts that see the image, to a mixture", "mocoop-cond", "mocoop"),
)


def all_tasks(seeds: Sequence[int] = (1, 2, 3)) -> list[Task]:
    """Returns the tasks of all protocols on the built-in sets, which the page shows.

    All sets have 16 shots. Two of them have fewer shots as well, with the methods that train.
    Methods that tune LayerNorms are trained on one set.
    """
    recipes = {key: preset(key) for key in METHODS}
    normed = tuple(key for key, recipe in recipes.items() if recipe.tune_layer_norms)
    usual = tuple(key for key in METHODS if key not in normed)
    # When all classes are trained on, there are no other names, and LASP-V equals LASP.
    usual_seen, normed_seen = (
        tuple(key for key in keys if recipes[key].text_classes == "seen")
        for keys in (usual, normed)
    )
    trained = tuple(key for key in usual_seen if METHODS[key].needs_images)
    transferable = tuple(key for key in usual_seen if not METHODS[key].own_classes_only)
    seeds = tuple(seeds)
    few = tasks(Plan("few-shot", CURVES_ON, trained, FEWER_SHOTS, seeds))
    few += tasks(Plan("few-shot", BUILTIN, usual_seen, (16,), seeds))
    few += tasks(Plan("few-shot", LAYER_NORMS_ON, normed_seen, (16,), seeds))
    halves = tasks(Plan("base-to-new", BUILTIN, usual, (16,), seeds))
    halves += tasks(Plan("base-to-new", LAYER_NORMS_ON, normed, (16,), seeds))
    return [
        *sorted(few, key=_place),
        *sorted(halves, key=_place),
        *tasks(Plan("domain-generalization", CURVES_ON, usual_seen, (STYLE_SHOTS,), seeds)),
        *tasks(Plan("cross-dataset", BUILTIN, transferable, (16,), seeds)),
        *ablation_tasks(PARTS_ON, seeds=seeds),
        *(
            task
            for method, variants in NEW_PARTS
            for task in ablation_tasks(NEW_PARTS_ON, variants, method, seeds=seeds)
        ),
    ]


def _listed(names: Sequence[str]) -> str:
    """Returns names as they stand in a sentence.

    >>> _listed(("albums", "details", "halves"))
    'albums, details and halves'
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _place(task: Task) -> tuple[int, int]:
    """Returns where a task stands in the tables, by data set and method."""
    return BUILTIN.index(task.config.data), tuple(METHODS).index(task.config.method)


def tables_of(
    rows: Sequence[Row], protocol: str, measures: bool = True, published: bool = True
) -> list[Table]:
    """Returns the tables of one protocol.

    Args:
        rows: the results, of any protocols.
        protocol: the protocol.
        measures: few-shot: also return a table of each measure beyond accuracy.
        published: base-to-new: also show published averages.
    """
    if protocol == "few-shot":
        return [*few_shot_tables(rows), *(_measures(rows, "beyond accuracy") if measures else ())]
    if protocol == "base-to-new":
        return list(base_to_new_tables(rows, published))
    if protocol == "ablation":
        parts = [row for row in rows if row.protocol == protocol]
        methods = dict.fromkeys(method_in(row.method) for row in parts)
        by_method = ([r for r in parts if method_in(r.method) == key] for key in methods)
        return [ablation_table(own) for own in by_method]
    return list(transfer_tables(rows, protocol))


def costs_shown(runs: Sequence[Run]) -> dict[str, Cost]:
    """Returns the costs that the page shows, by method."""
    return costs_of(runs, COSTS_OF)


def memory_of(methods: Iterable[str], report: Callable[[str], None]) -> dict[str, int]:
    """Returns method → peak bytes of a training step, measured now, for the page's costs."""
    data = load_dataset(COSTS_OF)
    return step_memory(methods, len(data.class_names), len(data.templates.groups), report)


def page(
    rows: Sequence[Row],
    runs: Sequence[Run],
    kept: int = 0,
    memory: Mapping[str, int] | None = None,
) -> str:
    """Returns RESULTS.md as Markdown.

    Args:
        rows: the results of `all_tasks`.
        runs: the runs behind them, each once.
        kept: how many of the rows are those of an earlier page, without runs.
        memory: method → peak bytes of a training step, from `memory_of`.
    """
    count, total, median = time_spent(runs)
    few = [row for row in rows if row.protocol == "few-shot" and row.shots in (0, 16)]
    parts = [
        "# Results\n",
        "All numbers on this page were measured with the small CLIP that comes with the "
        "project, on the built-in sets, with one command:\n",
        "```sh\nmocoop results\n```\n",
        f"{count:,} runs took {total / 3600:.1f} hours of training and testing, each counted on "
        f"its own while others ran beside it (median {median:.1f} s), on {os.cpu_count()} CPU "
        f"cores, {_accelerator()}, with "
        f"torch {version('torch')}, open_clip {version('open_clip_torch')} and Python "
        f"{platform.python_version()}. {_of_earlier(kept, len(rows))}"
        "[RESULTS.csv](RESULTS.csv) has the numbers of every seed.\n",
        "Tables show the accuracy on the test images in percent, as mean ± sample standard "
        "deviation (n − 1) over the seeds; the best value of a column is bold. Settings were "
        "chosen on validation images "
        "([how](docs/results.md#how-the-recipes-were-chosen)), none on test images. "
        "Methods ending in -ln "
        "also tune the LayerNorms of the image tower, as the published LASP and MoCoOp do. "
        "LASP-V equals LASP if all classes are trained on, and so "
        "does MoCoOp with all names equal MoCoOp: only base-to-new shows them.\n",
        f"Fewer than 16 shots were run on {_listed(CURVES_ON)}; methods ending in -ln on "
        f"{_listed(LAYER_NORMS_ON)}; the ablation of MoCoOp on "
        f"{_listed(PARTS_ON)}, those of what its descendants add on {_listed(NEW_PARTS_ON)}. "
        "A dash says that a number is missing.\n",
        _section("Few-shot", few_shot_tables(rows)),
        _section("Base-to-new", base_to_new_tables(rows)),
        "## Do the parts add to each other?\n",
        "The methods that are compared differ in more than the part: LASP's text loss compares "
        "with other templates than MoCoOp's, and IVLP has none. The ablations below leave out "
        "single parts.\n",
        to_markdown(added_parts(rows, ADDITIONS, SHOTS)),
        "## Domain generalisation\n",
        f"Trained on {STYLE_SHOTS} images per class of the style photo (the first column), "
        "tested on every other style.\n",
        *map(to_markdown, transfer_tables(rows, "domain-generalization")),
        to_markdown(published_domain_table()),
        _section("Cross-data-set", transfer_tables(rows, "cross-dataset")),
        "## Beyond accuracy\n",
        "Few-shot runs with 16 shots.\n",
        *map(to_markdown, _measures(few, "beyond accuracy")),
        "## Does routing matter?\n",
        "Test accuracy of the same trained experts with other ways to choose them: all with "
        "equal weights, one at random, the one that is best on the validation images, and any "
        "expert that is correct, which no choice of one can exceed. Few-shot runs with 16 "
        "shots.\n",
        *map(to_markdown, _measures(few, "routing")),
        _section("Ablation", tables_of(rows, "ablation")),
        "## What a training costs\n",
        f"On {COSTS_OF}, {SHOTS} shots, of the fastest seed: several runs shared the machine. "
        "Methods that leave the image tower frozen train on cached image features. The "
        "seconds of an epoch are those of its steps. The seconds in all also count the validation "
        "after every epoch and what comes before the first one, such as the search of dpl. Memory "
        "is the peak of a training step above the loaded weights, in a process of its own; that "
        "of dpl with the most tokens that its search can choose, without the search."
        f"{' Methods whose runs are no longer there are left out.' if kept else ''}\n",
        costs_table(costs_shown(runs), memory or {}),
        _interaction(),
        "## Every seed\n",
        "Few-shot with 16 shots, and base-to-new. RESULTS.csv has all others.\n",
        *(to_markdown(every_seed(chosen, name)) for chosen, name in _seeds_shown(rows, few)),
    ]
    return "\n".join(parts)


def _of_earlier(kept: int, all_rows: int) -> str:
    """Returns how many numbers are those of an earlier page; an empty text if none are."""
    if not kept:
        return ""
    return (
        f"{kept:,} of the {all_rows:,} numbers are from earlier runs of the same command, which "
        "are no longer there (`--keep`). "
    )


def _seeds_shown(rows: Sequence[Row], few: Sequence[Row]) -> Iterator[tuple[list[Row], str]]:
    """Yields the rows for which the page shows every seed, with their measure."""
    yield [row for row in few if row.measure == "accuracy"], "accuracy"
    yield [row for row in rows if row.protocol == "base-to-new" and row.measure == "HM"], "HM"


def _interaction() -> str:
    """Returns the section on the interaction of contexts and class names in the small CLIP."""
    tower = load_backbone(DEMO).text
    lines = [
        "## What a context can change here\n",
        "Shares of the variance of the hard prompts' text features (all templates × all classes, "
        "two-way analysis of variance) that depend on the template alone, on the class name "
        "alone, and on both together. A context that all classes share can change the predicted "
        "class only through the last part.\n",
    ]
    rows = []
    for name in BUILTIN:
        data = load_dataset(name)
        parts = interaction_shares(tower, data.templates.groups, data.class_names)
        shares = (parts.context, parts.name, parts.interaction)
        rows.append((name, *(f"{share:.1f}" for share in shares)))
    heads = ("data", "template, %", "class name, %", "both together, %")
    return "\n".join([*lines, markdown_table(heads, rows, "lrrr")]) + "\n"


def _accelerator() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def _section(title: str, tables: Sequence[Table]) -> str:
    return "\n".join([f"## {title}\n", *map(to_markdown, tables)])


def _measures(rows: Sequence[Row], section: Section) -> list[Table]:
    """Returns a table for each measure of a section that the few-shot rows have."""
    present = {row.measure for row in rows if row.protocol == "few-shot"}
    names = [measure.name for measure in in_section(section)]
    return [measure_table(rows, name, "few-shot") for name in names if name in present]

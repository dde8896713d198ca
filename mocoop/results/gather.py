"""Result rows of any runs, as they lie in their folders: which belong together, and as what.

Runs are averaged over seeds only where everything else is the same: a run whose settings differ
from its method's preset stands under a name that says how.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mocoop.config import GIVEN
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.presets import differences
from mocoop.protocols.plans import Task
from mocoop.results.protocol_rows import rows_of
from mocoop.results.rows import Row
from mocoop.runs.run import Run, RunSetup
from mocoop.templates import Groups

NAMED_GROUPS = 3  # by name in a line of a table; the rest are counted


@dataclass(frozen=True)
class Gathered:
    """Runs as rows of result tables."""

    rows: tuple[Row, ...]
    """Of all protocols, in the order of the runs."""
    repeated: tuple[str, ...]
    """Names of runs left out because a newer one has the same settings and seed."""
    unreadable: tuple[str, ...]
    """Names of runs left out because their files are damaged."""


def gather(runs: Sequence[Run]) -> Gathered:
    """Returns the rows of finished runs, newest first as `list_runs` has them.

    A run on the base half belongs to base-to-new, one on a single style to
    domain-generalization, others to few-shot; one that was tested on other data sets also to
    cross-dataset. Methods without training stand for every seed of their table.
    """
    setups: dict[Run, RunSetup] = {}
    unreadable = []
    for run in runs:
        try:
            run.require_finished()
            run.results()
            setup = run.setup()
        except UserError:
            unreadable.append(run.name)
            continue
        if setup.config.data != GIVEN:  # there are no test images of those
            setups[run] = setup
    labels = _labels(setups)
    seeds: dict[str, set[int]] = {}
    for setup in setups.values():
        if _draws(setup):
            seeds.setdefault(_protocol(setup), set()).add(setup.config.seed)
    rows: list[Row] = []
    repeated: list[str] = []
    known: set[tuple[object, ...]] = set()
    for run, setup in setups.items():
        own: list[Row] = []
        try:
            for task in _tasks(run, setup, labels[run], sorted(seeds.get(_protocol(setup), ()))):
                own += rows_of(task, run)
        except (KeyError, TypeError, UserError):
            unreadable.append(run.name)
            continue
        new = [row for row in own if _identity(row) not in known]
        if not new:
            repeated.append(run.name)
        known |= {_identity(row) for row in new}
        rows += new
    return Gathered(tuple(rows), tuple(repeated), tuple(unreadable))


def variant_name(setup: RunSetup) -> str:
    """Returns the method's name and every setting in which the run differs from its preset.

    >>> from mocoop.presets import preset
    >>> from dataclasses import replace
    >>> config = replace(preset("coop"), learning_rate=0.1)
    >>> variant_name(RunSetup(config, ("a", "b"), {"": ("{}",)}, 2, 100.0, ""))
    'coop, learning_rate 0.1'
    """
    changed = (f"{name} {value}" for name, value in differences(setup.config).items())
    return ", ".join((setup.config.method, *changed))


def _labels(setups: dict[Run, RunSetup]) -> dict[Run, str]:
    """Returns each run's line in the tables; CLIPs and groups are named where there are several.

    Groups of templates are compared within a method and a data set.
    """
    backbones = {setup.config.backbone for setup in setups.values()}
    groups: dict[tuple[str, str], list[str]] = {}
    for setup in setups.values():
        seen = groups.setdefault((variant_name(setup), setup.config.data), [])
        text = json.dumps(setup.groups)
        if text not in seen:
            seen.append(text)
    labels = {}
    for run, setup in setups.items():
        label = variant_name(setup)
        seen = groups[label, setup.config.data]
        if len(seen) > 1:
            place = seen.index(json.dumps(setup.groups))
            words = [_in_words(json.loads(text)) for text in seen]
            alike = f" ({place + 1})" if words.count(words[place]) > 1 else ""
            label += f", {words[place]}{alike}"
        if len(backbones) > 1:
            label += f", {setup.config.backbone}"
        labels[run] = label
    return labels


def _in_words(groups: Groups) -> str:
    """Returns the names of groups of templates, of one prompt its first template.

    >>> _in_words({"photo": ("a photo of a {}.",), "toy": ("a toy {}.",)})
    'groups photo + toy'
    """
    names = list(groups)
    if names == [""]:
        return f"from “{groups[''][0]}”"
    more = f" and {len(names) - NAMED_GROUPS} more" if len(names) > NAMED_GROUPS else ""
    return f"groups {' + '.join(names[:NAMED_GROUPS])}{more}"


def _protocol(setup: RunSetup) -> str:
    if setup.config.style:
        return "domain-generalization"
    return "base-to-new" if setup.config.classes == "base" else "few-shot"


def _draws(setup: RunSetup) -> bool:
    return METHODS[setup.config.method].needs_images


def _tasks(run: Run, setup: RunSetup, label: str, seeds: Sequence[int]) -> Iterable[Task]:
    """Yields what a run counts as, as the protocols would have it."""
    config = setup.config
    own = (config.seed,) if _draws(setup) or not seeds else tuple(seeds)
    shots = config.shots if _draws(setup) else 0
    protocol = _protocol(setup)
    task = Task(protocol, label, config, shots, own)
    yield task
    targets = sorted(
        path.stem.removeprefix("transfer-") for path in run.path.glob("transfer-*.json")
    )
    leaves = not METHODS[config.method].own_classes_only
    if targets and protocol == "few-shot" and leaves:
        yield replace(task, protocol="cross-dataset", targets=tuple(targets))


def _identity(row: Row) -> tuple[object, ...]:
    return row.protocol, row.data, row.target, row.method, row.shots, row.seed, row.measure

"""Turns any finished runs into rows of result tables.

Tables average runs over seeds only if everything else is the same. Therefore a run whose
settings differ from the preset of its method gets a label that names the differences.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from mocoop.config import GIVEN
from mocoop.datasets import dataset_labels
from mocoop.errors import UserError
from mocoop.evaluation.measure_table import HALVES
from mocoop.evaluation.measures import harmonic_mean
from mocoop.evaluation.transfer_files import saved_targets
from mocoop.methods import METHODS
from mocoop.presets import differences
from mocoop.protocols.plans import Task
from mocoop.results.protocol_rows import rows_of
from mocoop.results.rows import Row
from mocoop.runs.run import Run, RunSetup
from mocoop.templates import Groups

PLAIN = next(key for key, method in METHODS.items() if method.is_plain_prompt)
NAMED_GROUPS = 3  # number of groups that a label names; the rest is only counted


@dataclass(frozen=True)
class Gathered:
    """Runs as rows of result tables."""

    rows: tuple[Row, ...]
    """Rows of all protocols, in the order of the runs."""
    repeated: tuple[str, ...]
    """Names of runs left out because a newer one has the same settings and seed."""
    unreadable: tuple[str, ...]
    """Names of runs left out because their files are damaged."""
    untrained: tuple[Row, ...] = ()
    """Zero-shot's accuracies as the runs saved them, for tables without a run of zero-shot."""


def gather(runs: Sequence[Run]) -> Gathered:
    """Returns the rows of finished runs.

    A run trained on the base half belongs to base-to-new, a run trained on a single style to
    domain-generalization, and all others to few-shot. A few-shot run that was tested on other
    data sets also belongs to cross-dataset. A method without training gets rows for every seed
    of its table.

    Args:
        runs: the runs, newest first, as `list_runs` returns them.
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
        if setup.config.data != GIVEN:  # images given to the estimator have no test split
            setups[run] = setup
    labels, sets = _labels(setups), _data_labels(setups)
    seeds: dict[str, set[int]] = {}
    for setup in setups.values():
        if _needs_images(setup):
            seeds.setdefault(_protocol(setup), set()).add(setup.config.seed)
    rows: list[Row] = []
    repeated: list[str] = []
    known: set[tuple[object, ...]] = set()
    for run, setup in setups.items():
        own: list[Row] = []
        try:
            for task in _tasks(run, setup, labels[run], sorted(seeds.get(_protocol(setup), ()))):
                own += rows_of(task, run, sets)
        except (KeyError, UserError):  # a KeyError: of an older version, without a measure
            unreadable.append(run.name)
            continue
        new = [row for row in own if _identity(row) not in known]
        if not new:
            repeated.append(run.name)
        known |= {_identity(row) for row in new}
        rows += new
    there = {_cell(row) for row in rows}
    untrained: dict[tuple[object, ...], Row] = {}
    for run, setup in setups.items():
        if run.name not in unreadable and not _outdated(setup, setups.values()):
            for row in untrained_rows(run, setup, _several_clips(setups), sets):
                if _cell(row) not in there:  # a run of zero-shot counts instead
                    untrained.setdefault(_identity(row), row)
    return Gathered(tuple(rows), tuple(repeated), tuple(unreadable), tuple(untrained.values()))


def variant_name(setup: RunSetup) -> str:
    """Returns the method's name and all settings that differ from the method's preset.

    >>> from mocoop.presets import preset
    >>> from dataclasses import replace
    >>> config = replace(preset("coop"), learning_rate=0.1)
    >>> variant_name(RunSetup(config, ("a", "b"), {"": ("{}",)}, 2, 100.0, ""))
    'coop, learning_rate 0.1'
    """
    changed = (f"{name} {value}" for name, value in differences(setup.config).items())
    return ", ".join((setup.config.method, *changed))


def _labels(setups: dict[Run, RunSetup]) -> dict[Run, str]:
    """Returns the label of each run, which is the label of its line in the tables.

    Labels name the CLIP if the runs use several, and the groups of templates if runs of the
    same method and data set use several. Runs from before the data or the CLIP's weights have
    changed say so.
    """
    several_clips = _several_clips(setups)
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
            index = seen.index(json.dumps(setup.groups))
            names = [_groups_text(json.loads(text)) for text in seen]
            number = f" ({index + 1})" if names.count(names[index]) > 1 else ""
            label += f", {names[index]}{number}"
        if several_clips:
            label += f", {setup.config.backbone}"
        labels[run] = label + _outdated(setup, setups.values())
    return labels


def _outdated(setup: RunSetup, setups: Iterable[RunSetup]) -> str:
    """Returns what is different, in words, in the newest run on the same data with the same CLIP.

    Args:
        setup: the settings of a run.
        setups: those of all runs, newest first.
    """
    place = setup.config.data, setup.config.backbone
    newest = next(one for one in setups if (one.config.data, one.config.backbone) == place)
    if not setup.has_clip(newest.backbone_fingerprint):
        return ", with the earlier weights"
    if newest.class_names != setup.class_names:
        return ", with the earlier classes"
    images = {one.inputs.get("test images", "") for one in (newest, setup)} - {""}
    return ", on the earlier images" if len(images) > 1 else ""


def _data_labels(setups: Mapping[Run, RunSetup]) -> dict[str, str]:
    """Returns what the rows call the data sets of runs and those they were tested on."""
    sources = [setup.config.data for setup in setups.values()]
    for run in setups:
        with suppress(UserError):  # a damaged file, which `gather` tells
            sources += saved_targets(run)
    return dataset_labels(sources)


def _groups_text(groups: Groups) -> str:
    """Returns the names of groups of templates; for a single prompt, its first template.

    >>> _groups_text({"photo": ("a photo of a {}.",), "toy": ("a toy {}.",)})
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


def _needs_images(setup: RunSetup) -> bool:
    return METHODS[setup.config.method].needs_images


def _tasks(run: Run, setup: RunSetup, label: str, seeds: Sequence[int]) -> Iterable[Task]:
    """Yields the tasks of protocols that a run is a result of."""
    config, needs_images = setup.config, _needs_images(setup)
    own_seeds = (config.seed,) if needs_images or not seeds else tuple(seeds)
    shots = config.shots if needs_images else 0
    protocol = _protocol(setup)
    task = Task(protocol, label, config, shots, own_seeds)
    yield task
    targets = saved_targets(run)
    transferable = not METHODS[config.method].own_classes_only
    if targets and protocol == "few-shot" and transferable:
        yield replace(task, protocol="cross-dataset", targets=targets)


def untrained_rows(
    run: Run,
    setup: RunSetup,
    several_clips: bool,
    sets: Mapping[str, str],
) -> list[Row]:
    """Returns what zero-shot reaches on a run's test images, as the run saved it.

    Nothing if it was not saved; for single styles it never is.

    Args:
        run: a finished run.
        setup: its settings.
        several_clips: whether the label has to name the CLIP.
        sets: what the rows call each data set.
    """
    results, config, protocol = run.results(), setup.config, _protocol(setup)
    if protocol == "domain-generalization":
        return []
    measures = {"all": "accuracy"} if protocol == "few-shot" else {half: half for half in HALVES}
    found = {
        measure: float(results[part]["zero_shot"])
        for part, measure in measures.items()
        if "zero_shot" in results.get(part, {})
    }
    if len(found) == len(HALVES):
        found["HM"] = harmonic_mean(*found.values())
    data = sets[config.data]
    label = f"{PLAIN}, {config.backbone}" if several_clips else PLAIN
    return [
        Row(protocol, data, data, label, 0, config.seed, measure, value)
        for measure, value in found.items()
    ]


def _several_clips(setups: dict[Run, RunSetup]) -> bool:
    return len({setup.config.backbone for setup in setups.values()}) > 1


def _cell(row: Row) -> tuple[object, ...]:
    """Returns the cell of a table in which a row is averaged over seeds."""
    return row.protocol, row.data, row.target, row.method, row.shots, row.measure


def _identity(row: Row) -> tuple[object, ...]:
    return row.protocol, row.data, row.target, row.method, row.shots, row.seed, row.measure

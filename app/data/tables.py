"""What the Data page shows, as tables: data sets in, pandas out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import pandas as pd

from mocoop.analysis.group_proposals import Proposed
from mocoop.catalog.check import Report
from mocoop.catalog.inventory import DatasetState
from mocoop.datasets import Dataset
from mocoop.datasets.base import SPLITS, Item
from mocoop.datasets.folder import FolderDataset
from mocoop.datasets.splits import base_size

FEW_NAMES = 3  # that are all said
HALF, CLASS, FOLDER = "half", "class", "folder"
STATES = {"built in": "ready", "ready": "ready", "broken": "not whole", "missing": "not here"}


@dataclass(frozen=True)
class PictureFilter:
    """Which pictures of a set to show; None shows all."""

    split: str
    class_name: str | None = None
    style: str | None = None


def class_table(dataset: Dataset) -> pd.DataFrame:
    """Returns a row per class in label order: folder, name, half, images of every split."""
    counts = {s: Counter(item.label for item in dataset.items(s)) for s in SPLITS}
    base = base_size(len(dataset.class_names))
    labels = range(len(dataset.class_names))
    known = dataset.labels if isinstance(dataset, FolderDataset) else dataset.class_names
    return pd.DataFrame(
        {
            "label": labels,
            FOLDER: known,
            CLASS: dataset.class_names,
            HALF: ["base" if label < base else "new" for label in labels],
        }
        | {split: [counts[split][label] for label in labels] for split in SPLITS}
    )


def renamed_classes(
    table: pd.DataFrame, dataset: Dataset, before: Mapping[str, str]
) -> dict[str, str]:
    """Returns folder → class name after a table of classes was edited.

    Args:
        table: from `class_table`, with names changed; an empty name takes a change back.
        dataset: the set as it is.
        before: what was renamed before.
    """
    found = dict(before)
    rows = zip(table[FOLDER], table[CLASS], dataset.class_names, strict=True)
    for folder, name, current in rows:
        text = name.strip() if isinstance(name, str) else ""
        if not text:
            found.pop(folder, None)
        elif text != current:
            found[folder] = text
    return found


def pictures(dataset: Dataset, wanted: PictureFilter) -> list[Item]:
    """Returns the items that a filter lets through, in an order in which a page shows many kinds.

    The classes take turns, each beginning at another place of its list, so that styles differ.
    """
    by_label: dict[int, list[Item]] = {}
    for item in dataset.items(wanted.split):
        right_class = wanted.class_name in (None, dataset.class_names[item.label])
        if right_class and wanted.style in (None, item.style):
            by_label.setdefault(item.label, []).append(item)
    turned = [items[n % len(items) :] + items[: n % len(items)] for n, items in
              enumerate(by_label.values())]  # fmt: skip
    return [item for turn in zip_longest(*turned) for item in turn if item is not None]


def inventory_table(found: Sequence[DatasetState]) -> pd.DataFrame:
    """Returns a row per set: name, whether it is here, what it holds or lacks, the next step."""
    return pd.DataFrame(
        {
            "data set": [one.name for one in found],
            "state": [STATES[one.state] for one in found],
            "what there is": [one.words for one in found],
            "next step": [one.next_step for one in found],
        }
    )


def groups_table(groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Returns a row per group of templates."""
    return pd.DataFrame(
        {
            "expert": list(groups),
            "starts from": [templates[0] for templates in groups.values()],
            "held to": [" · ".join(templates) for templates in groups.values()],
        }
    )


def proposal_table(proposed: Proposed) -> pd.DataFrame:
    """Returns a row per proposed group: share of images, what it adds, templates."""
    return pd.DataFrame(
        {
            "expert": list(proposed.groups),
            "images": [100.0 * proposed.shares[name] for name in proposed.groups],
            "adds": [proposed.gains[name] for name in proposed.groups],
            "templates": [" · ".join(templates) for templates in proposed.groups.values()],
        }
    )


def problem_table(report: Report) -> pd.DataFrame:
    """Returns a row per problem that a check found: kind, image, reason."""
    rows = [("missing", path, "no such file") for path in report.missing]
    rows += [("cannot be read", path, why) for path, why in report.unreadable.items()]
    rows += [("also in training", tested, trained) for trained, tested in report.duplicates]
    return pd.DataFrame(rows, columns=["problem", "image", "reason"])


def halves_in_words(dataset: Dataset) -> str:
    """Returns how the classes are cut for the base-to-new protocol."""
    names, base = dataset.class_names, base_size(len(dataset.class_names))
    return (
        f"Base half: {_named(names[:base], 'the first')}. "
        f"New half: {_named(names[base:], 'the other')}."
    )


def _named(names: Sequence[str], which: str) -> str:
    """Returns all of a few names, or how many there are with the first and the last one."""
    if len(names) > FEW_NAMES:
        return f"{which} {len(names):,} classes, {names[0]} to {names[-1]}"
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]

"""The tables of the Data page: data sets in, pandas out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import pandas as pd

from app.data import words
from mocoop.analysis.group_proposals import Proposed
from mocoop.catalog.check import Report
from mocoop.catalog.inventory import DatasetState
from mocoop.datasets import Dataset
from mocoop.datasets.base import SPLITS, Item
from mocoop.datasets.folder import FolderDataset
from mocoop.datasets.splits import base_size

HALF, CLASS, FOLDER = "half", "class", "folder"


@dataclass(frozen=True)
class PictureFilter:
    """Which images of a data set to show; None means no restriction."""

    split: str
    class_name: str | None = None
    style: str | None = None


def class_table(dataset: Dataset) -> pd.DataFrame:
    """Returns a row per class in label order: folder, name, half, number of images per split."""
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
    """Returns folder → new class name after the user edited the table of classes.

    Args:
        table: from `class_table`, with changed names; an empty name undoes a change.
        dataset: the data set before the edit.
        before: folder → new class name of earlier edits.
    """
    renamed = dict(before)
    rows = zip(table[FOLDER], table[CLASS], dataset.class_names, strict=True)
    for folder, name, current in rows:
        text = name.strip() if isinstance(name, str) else ""
        if not text:
            renamed.pop(folder, None)
        elif text != current:
            renamed[folder] = text
    return renamed


def pictures(dataset: Dataset, wanted: PictureFilter) -> list[Item]:
    """Returns the items that pass a filter, ordered so that every page shows many classes.

    The classes take turns. Each starts at another index of its list, so that styles differ.
    """
    by_label: dict[int, list[Item]] = {}
    for item in dataset.items(wanted.split):
        right_class = wanted.class_name in (None, dataset.class_names[item.label])
        if right_class and wanted.style in (None, item.style):
            by_label.setdefault(item.label, []).append(item)
    turned = [items[n % len(items) :] + items[: n % len(items)] for n, items in
              enumerate(by_label.values())]  # fmt: skip
    return [item for turn in zip_longest(*turned) for item in turn if item is not None]


def inventory_table(states: Sequence[DatasetState]) -> pd.DataFrame:
    """Returns a row per data set: name, state, what it contains or lacks, the next step."""
    return pd.DataFrame(
        {
            words.DATA_SET: [known.name for known in states],
            words.STATE: [words.STATES[known.state] for known in states],
            words.CONTENTS: [known.words for known in states],
            words.NEXT_STEP: [known.next_step for known in states],
        }
    )


def groups_table(groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Returns a row per group of templates."""
    return pd.DataFrame(
        {
            "expert": list(groups),
            words.STARTS_FROM: [templates[0] for templates in groups.values()],
            words.KEPT_CLOSE_TO: [" · ".join(templates) for templates in groups.values()],
        }
    )


def proposal_table(proposed: Proposed) -> pd.DataFrame:
    """Returns a row per proposed group: share of images, gain in log probability, templates."""
    return pd.DataFrame(
        {
            "expert": list(proposed.groups),
            "images": [100.0 * proposed.shares[name] for name in proposed.groups],
            "adds": [proposed.gains[name] for name in proposed.groups],
            "templates": [" · ".join(templates) for templates in proposed.groups.values()],
        }
    )


def of_present_images(report: Report, dataset: Dataset) -> Report:
    """Returns a report without the images that the data set left out since it was made."""
    ids = {item.id for split in SPLITS for item in dataset.items(split)}
    return replace(
        report,
        missing=tuple(path for path in report.missing if path in ids),
        unreadable={path: why for path, why in report.unreadable.items() if path in ids},
        duplicates=tuple(pair for pair in report.duplicates if ids.issuperset(pair)),
        two_classes=tuple(pair for pair in report.two_classes if ids.issuperset(pair)),
    )


def problem_table(report: Report) -> pd.DataFrame:
    """Returns a row per problem in a report: kind, image, reason."""
    rows = [(words.MISSING, path, words.NO_FILE) for path in report.missing]
    rows += [(words.UNREADABLE, path, why) for path, why in report.unreadable.items()]
    rows += [(words.DUPLICATE, tested, trained) for trained, tested in report.duplicates]
    rows += [(words.TWO_CLASSES, one, other) for one, other in report.two_classes]
    rows += [(words.LEFT_ASIDE, f, why) for why, files in report.left_aside.items() for f in files]
    return pd.DataFrame(rows, columns=["problem", "image", "reason"])


def halves_in_words(dataset: Dataset) -> str:
    """Returns how the classes are split for the base-to-new protocol."""
    names, base = dataset.class_names, base_size(len(dataset.class_names))
    return words.halves(names[:base], names[base:])

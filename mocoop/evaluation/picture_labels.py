"""True labels of pictures, from folders or a CSV file, and how well the predictions fit them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import torch

from mocoop.datasets.class_folders import tidy
from mocoop.datasets.table_rows import csv_rows, encoding_of
from mocoop.errors import UserError
from mocoop.evaluation.class_measures import confusion_by_name, macro_f1
from mocoop.evaluation.many_pictures import PictureRow
from mocoop.evaluation.paired import Interval, wilson_interval

FILE_COLUMNS, LABEL_COLUMNS = ("file", "path", "image", "name"), ("label", "class", "true label")


@dataclass(frozen=True)
class LabelledResult:
    """How well predictions fit true labels, over the pictures whose class is known."""

    images: int
    """Pictures with a label that is one of the classes; 0 if there are none, and then the fields
    below are empty."""
    right: int = 0
    accuracy: float | None = None
    """In percent."""
    interval: Interval | None = None
    """Wilson's 95 % interval of the accuracy, in percent."""
    macro_f1: float | None = None
    """Mean of the classes' F1 scores, over the classes that have pictures, in percent."""
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)
    """True class → predicted class → pictures, without pairs that do not occur."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Label that no class has → its pictures, which are left out."""
    unlabelled: int = 0
    """Pictures without a label, which are left out."""


def labels_from_folders(names: Sequence[str]) -> dict[str, str]:
    """Returns file → name of the folder that holds it; files outside of folders have no label."""
    folders = {name: PurePosixPath(name.replace("\\", "/")).parent.name for name in names}
    return {name: folder for name, folder in folders.items() if folder}


def labels_from_csv(content: bytes, name: str = "the CSV file") -> dict[str, str]:
    """Returns file → label from a CSV file with a column of files and one of labels.

    Args:
        content: the file's bytes, in UTF-8 or UTF-16; the separator is a comma, a semicolon or a
            tab. It is read as tables of images are: see `csv_rows`.
        name: name of the file in messages.

    Raises:
        UserError: for other bytes, missing columns, or a file with two labels.
    """
    try:
        text = content.decode(encoding_of(content))
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not a text in UTF-8. Save it as CSV in UTF-8.") from error
    try:
        header, numbered = csv_rows(io.StringIO(text, newline=""))
        rows = [row for _, row in numbered]
    except csv.Error as error:
        raise UserError(f"{name} cannot be read as CSV ({error}).") from error
    columns = {cell.strip().lower(): index for index, cell in enumerate(header)} if rows else {}
    file = next((columns[c] for c in FILE_COLUMNS if c in columns), None)
    label = next((columns[c] for c in LABEL_COLUMNS if c in columns), None)
    if file is None or label is None:
        raise UserError(
            f"{name}: expected a first line with the columns file and label, and a line for each "
            f"picture; got {', '.join(header)[:60] or 'nothing'}."
        )
    labels: dict[str, str] = {}
    for row in rows:
        key, value = (row[i].strip() if i < len(row) else "" for i in (file, label))
        if not key or not value:
            continue
        if labels.setdefault(key, value) != value:
            raise UserError(
                f"{name} gives {key} two labels: {labels[key]} and {value}. Keep one of them."
            )
    return labels


def match_labels(labels: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Returns picture → label; a file is found by its path, else by its name alone.

    A name that several files of the table have is not taken, unless they have the same label.

    Args:
        labels: file → label.
        names: of the pictures.
    """
    by_name: dict[str, set[str]] = {}
    for file, label in labels.items():
        by_name.setdefault(PurePosixPath(file.replace("\\", "/")).name, set()).add(label)
    found = {}
    for name in names:
        alone = by_name.get(PurePosixPath(name.replace("\\", "/")).name, set())
        if name in labels:
            found[name] = labels[name]
        elif len(alone) == 1:
            found[name] = next(iter(alone))
    return found


def class_of_label(label: str, class_names: Sequence[str]) -> str | None:
    """Returns the class that a label means; None if there is none.

    Upper case, underscores, and numbers that only sort folders do not matter, as where class
    names are made from folders.

    >>> class_of_label("001.Golden_Retriever", ["golden retriever", "pug"])
    'golden retriever'
    """
    if label in class_names:
        return label
    wanted = {_plain(label), label.replace("_", " ").strip().casefold()}
    return next((name for name in class_names if _plain(name) in wanted), None)


def with_truth(
    rows: Sequence[PictureRow], labels: Mapping[str, str], class_names: Sequence[str]
) -> list[PictureRow]:
    """Returns the rows with the true class of each picture that has a label.

    A label that is not a class is kept as a note.
    """
    classes = {label: class_of_label(label, class_names) for label in set(labels.values())}

    def with_label(row: PictureRow) -> PictureRow:
        if row.name not in labels:
            return row
        label = labels[row.name]
        if classes[label] is None:
            return replace(row, notes=(*row.notes, f"label {label!r}: no class has this name"))
        return replace(row, truth=classes[label])

    return [with_label(row) for row in rows]


def labelled_result(
    rows: Sequence[PictureRow], labels: Mapping[str, str], class_names: Sequence[str]
) -> LabelledResult:
    """Returns accuracy, macro-F1 and confusion over the pictures whose true class is known.

    Args:
        rows: from `with_truth`.
        labels: picture → label.
        class_names: the classes that could be predicted.
    """
    unknown: dict[str, int] = {}
    for row in rows:
        if row.truth is None and row.name in labels:
            unknown[labels[row.name]] = unknown.get(labels[row.name], 0) + 1
    unlabelled = sum(row.name not in labels for row in rows)
    known = [row for row in rows if row.truth is not None]
    if not known:
        return LabelledResult(0, unknown=unknown, unlabelled=unlabelled)
    index = {name: number for number, name in reversed(list(enumerate(class_names)))}
    size = len(class_names)
    cells = torch.tensor([index[str(row.truth)] * size + index[row.label] for row in known])
    counts = torch.bincount(cells, minlength=size * size).view(size, size)
    right = sum(bool(row.right) for row in known)
    return LabelledResult(
        len(known),
        right,
        100.0 * right / len(known),
        wilson_interval(right, len(known)),
        macro_f1(counts),
        confusion_by_name(counts, class_names),
        unknown,
        unlabelled,
    )


def _plain(text: str) -> str:
    """Returns a label as class names are written, in lower case."""
    try:
        return tidy(text).casefold()
    except UserError:  # it has no letter and no digit
        return text.casefold()

"""Images listed in a CSV, TSV or Parquet file with columns path, label and perhaps split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mocoop.datasets.base import SPLITS, Contents, Item
from mocoop.datasets.class_folders import tidy
from mocoop.datasets.folder import FolderDataset, assemble
from mocoop.datasets.left_aside import left_beside
from mocoop.datasets.listed_paths import ListedPaths
from mocoop.datasets.packed import Packed
from mocoop.datasets.split_folders import split_of
from mocoop.datasets.splits import RULE, complete_splits, split_items
from mocoop.datasets.table_columns import ListedImages, label_order, read_images
from mocoop.datasets.table_rows import header, read_rows, renamed, row_error
from mocoop.errors import UserError, did_you_mean
from mocoop.templates import load_templates

SUFFIXES = (".csv", ".tsv", ".parquet")


def load_table(file: Path, packed: Packed | None = None) -> FolderDataset:
    """Returns the data set of a table; paths are relative to the table's folder.

    Labels are class names in order: numbers by value, others as text. A column `split` with
    train, val and test gives the splits. Without it, a seeded split by class is made; if only
    val is missing, a fifth of the training images becomes the validation split. A column `style`
    gives the images' true styles. The order of the rows does not matter: the images are the same
    as those of folders.

    Args:
        file: the table.
        packed: what is different if it was in an archive; else it may list MOCOOP_MAX_ROWS
            images, or 20 million.

    Raises:
        UserError: for a table that cannot be read, a missing column, too many rows, a row
            without path or label, a path listed twice, an unknown split, or a label without
            training images.
    """
    listed = read_images(file, packed.most_rows if packed else None)
    labels = label_order(listed)
    if any(listed.splits.number_of):
        splits, note = complete_splits(_given(file, listed, labels), f"the split of {file.name}")
    else:
        splits, note = _made(listed, labels)
    contents = Contents(
        tuple(labels),
        tuple(map(tidy, labels)),
        splits,
        note,
        f"the table {file.name}{renamed(header(file))}",
        list_file=file.name,
    )
    del listed  # its columns: what follows needs memory of its own
    aside = left_beside(file.parent, splits, (file.name,))
    templates = load_templates("photos")
    return assemble(file.stem, contents, templates, file.parent, file, aside, packed)


def names_images(file: Path) -> bool:
    """Returns whether a file is a table whose first row names an image that exists."""
    try:
        first = next(read_rows(file), None)
    except UserError:
        return False
    if first is None or not first.path:
        return False
    return (file.parent / ListedPaths(file.parent).of(first.path)).is_file()


def _made(listed: ListedImages, labels: Sequence[str]) -> tuple[dict[str, tuple[Item, ...]], str]:
    """Returns a seeded split by class, in each style if there are styles, and what it is."""
    styles = sorted(listed.styles.number_of)
    items: list[Item] = []
    strata: list[int] = []
    groups = listed.groups(listed.styles.numbered(styles), listed.labels.numbered(labels))
    for stratum, ((style, label), paths) in enumerate(groups):
        name = _style(styles[style])
        items += [Item(path, label, name) for path in paths]
        strata += [stratum] * len(paths)
    where = "in each style " if len(styles) > 1 else ""
    return split_items(items, strata), f"a split made by MoCoOp: {where}{RULE}"


def _given(file: Path, listed: ListedImages, labels: Sequence[str]) -> dict[str, tuple[Item, ...]]:
    """Returns the splits that the rows name.

    Raises:
        UserError: for a row of no split, a split without rows, or a label that is not trained.
    """
    styles = sorted(listed.styles.number_of)
    words = list(listed.splits.number_of)
    for word, line in zip(words, listed.splits.lines, strict=True):
        if split_of(word) is None:
            raise row_error(file, line, "a split train, val or test", word or "none")
    # Several words can mean the same split.
    part_of = np.array([SPLITS.index(split_of(word) or "") for word in words], np.int32)
    parts, label_column = part_of[listed.splits.numbered(words)], listed.labels.numbered(labels)
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for (part, style, label), paths in listed.groups(
        parts, listed.styles.numbered(styles), label_column
    ):
        name = _style(styles[style])
        splits[SPLITS[part]] += [Item(path, label, name) for path in paths]
    for split in ("train", "test"):
        if not splits[split] and not (split == "test" and splits["val"]):
            raise UserError(
                f"{file} has no row of the split {split}. Add some, or leave the column out: "
                "MoCoOp then makes the splits."
            )
    _check_trained(file, listed, labels, label_column[parts == SPLITS.index("train")])
    return {split: tuple(part) for split, part in splits.items()}


def _check_trained(
    file: Path, listed: ListedImages, labels: Sequence[str], trained: np.ndarray
) -> None:
    """Raises UserError for a label that no training image has.

    Args:
        file: the table.
        listed: its images.
        labels: the names of the labels.
        trained: the labels of the training images.
    """
    known = set(np.unique(trained).tolist())
    numbers = {label: number for number, label in enumerate(labels)}
    for label, line in zip(listed.labels.number_of, listed.labels.lines, strict=True):
        if numbers[label] not in known:
            hint = did_you_mean(label, [labels[number] for number in sorted(known)])
            raise UserError(
                f"{file}, line {line}: no training image has the label {label!r}, so "
                f"there is no such class.{hint} Fix the label, or add training images of it."
            )


def _style(text: str) -> str | None:
    """Returns a style as words, as those of domain folders are; None for an empty cell."""
    return tidy(text) if any(map(str.isalnum, text)) else text or None

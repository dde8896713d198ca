"""Images listed in a CSV, TSV or Parquet file with columns path, label and perhaps split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mocoop.datasets.base import SPLITS, Contents, Item
from mocoop.datasets.class_folders import tidy
from mocoop.datasets.folder import FolderDataset, assemble
from mocoop.datasets.left_aside import left_beside
from mocoop.datasets.listed_paths import ListedPaths
from mocoop.datasets.names import in_order
from mocoop.datasets.split_folders import split_of
from mocoop.datasets.splits import RULE, complete_splits, split_items
from mocoop.datasets.table_rows import Row, checked_rows, header, read_rows, renamed, row_error
from mocoop.errors import UserError, did_you_mean
from mocoop.templates import load_templates

SUFFIXES = (".csv", ".tsv", ".parquet")


def load_table(file: Path) -> FolderDataset:
    """Returns the data set of a table; paths are relative to the table's folder.

    Labels are class names in order: numbers by value, others as text. A column `split` with
    train, val and test gives the splits. Without it, a seeded split by class is made; if only
    val is missing, a fifth of the training images becomes the validation split. A column `style`
    gives the images' true styles.

    Raises:
        UserError: for a table that cannot be read, a missing column, a row without path or
            label, a path listed twice, an unknown split, or a label without training images.
    """
    paths = ListedPaths(file.parent)
    rows = checked_rows(file, (row._replace(path=paths.of(row.path)) for row in read_rows(file)))
    labels = in_order(row.label for row in rows)
    label_of = {name: label for label, name in enumerate(labels)}
    items = [Item(row.path, label_of[row.label], row.style or None) for row in rows]
    if any(row.split for row in rows):
        given = _splits_of(file, rows, items)
        splits, note = complete_splits(given, f"the split of {file.name}")
    else:
        splits = split_items(items, [item.label for item in items])
        note = f"a split made by MoCoOp: {RULE}"
    contents = Contents(
        tuple(labels),
        tuple(map(tidy, labels)),
        splits,
        note,
        f"the table {file.name}{renamed(header(file))}",
        list_file=file.name,
    )
    aside = left_beside(file.parent, splits, (file.name,))
    return assemble(file.stem, contents, load_templates("photos"), file.parent, file, aside)


def names_images(file: Path) -> bool:
    """Returns whether a file is a table whose first row names an image that exists."""
    try:
        first = next(read_rows(file), None)
    except UserError:
        return False
    if first is None or not first.path:
        return False
    return (file.parent / ListedPaths(file.parent).of(first.path)).is_file()


def _splits_of(
    file: Path, rows: Sequence[Row], items: Sequence[Item]
) -> dict[str, tuple[Item, ...]]:
    """Returns the splits that the rows name."""
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for row, item in zip(rows, items, strict=True):
        split = split_of(row.split)
        if split is None:
            raise row_error(file, row, "a split train, val or test", row.split or "none")
        splits[split].append(item)
    for split in ("train", "test"):
        if not splits[split] and not (split == "test" and splits["val"]):
            raise UserError(
                f"{file} has no row of the split {split}. Add some, or leave the column out: "
                "MoCoOp then makes the splits."
            )
    trained = {item.label for item in splits["train"]}
    known = sorted({row.label for row, item in zip(rows, items, strict=True)
                    if item.label in trained})  # fmt: skip
    for row, item in zip(rows, items, strict=True):
        if item.label not in trained:
            hint = did_you_mean(row.label, known)
            raise UserError(
                f"{file}, line {row.number}: no training image has the label {row.label!r}, so "
                f"there is no such class.{hint} Fix the label, or add training images of it."
            )
    return {split: tuple(part) for split, part in splits.items()}

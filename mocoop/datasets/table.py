"""Images listed in a CSV, TSV or Parquet file with columns path, label and perhaps split."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mocoop.datasets.base import SPLITS, Contents, Item
from mocoop.datasets.class_folders import tidy
from mocoop.datasets.folder import FolderDataset, assemble
from mocoop.datasets.split_folders import split_of
from mocoop.datasets.splits import RULE, SPLIT_SEED, split_items, with_val
from mocoop.errors import UserError, did_you_mean
from mocoop.templates import load_templates

SUFFIXES = (".csv", ".tsv", ".parquet")
_COLUMNS = ("path", "label", "split", "style")


class Row(NamedTuple):
    """One row of a table."""

    number: int
    """Line number in a CSV file; row number from 1 in a Parquet file."""
    path: str
    label: str
    split: str
    style: str


def load_table(file: Path) -> FolderDataset:
    """Returns the data set of a table; paths are relative to the table's folder.

    Labels are class names, sorted. A column `split` with train, val and test gives the splits.
    Without it, a seeded split by class is made; if only val is missing, a fifth of the training
    images becomes the validation split. A column `style` gives the images' true styles.

    Raises:
        UserError: for a table that cannot be read, a missing column, a row without path or
            label, a path listed twice, an unknown split, or a label without training images.
    """
    rows = _read(file)
    labels = sorted({row.label for row in rows})
    items = [Item(row.path, labels.index(row.label), row.style or None) for row in rows]
    splits = _splits_of(file, rows, items) if any(row.split for row in rows) else None
    if splits is None:
        splits = split_items(items, [item.label for item in items])
        note = f"a split made by MoCoOp: {RULE}"
    elif splits["val"]:
        note = f"the split of {file.name}"
    else:
        splits = with_val(splits)
        note = f"the split of {file.name}; validation: a fifth of train, seed {SPLIT_SEED}"
    contents = Contents(tuple(labels), tuple(map(tidy, labels)), splits, note)
    return assemble(file.stem, contents, load_templates("photos"), file.parent, file)


def _splits_of(
    file: Path, rows: Sequence[Row], items: Sequence[Item]
) -> dict[str, tuple[Item, ...]]:
    """Returns the splits that the rows name."""
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for row, item in zip(rows, items, strict=True):
        split = split_of(row.split)
        if split is None:
            raise _row_error(file, row, "a split train, val or test", row.split or "none")
        splits[split].append(item)
    for split in ("train", "test"):
        if not splits[split]:
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


def _read(file: Path) -> list[Row]:
    """Returns the table's rows after checking each of them."""
    unchecked = _parquet(file) if file.suffix.lower() == ".parquet" else _csv(file)
    rows: list[Row] = []
    first: dict[str, int] = {}
    for row in unchecked:
        if not row.path:
            raise _row_error(file, row, "the path of an image", "none")
        if not row.label:
            raise _row_error(file, row, f"a label for {row.path}", "none")
        if row.path in first:
            raise UserError(
                f"{file}, line {row.number}: {row.path} is already listed in line "
                f"{first[row.path]}. Keep one of the two."
            )
        first[row.path] = row.number
        rows.append(row)
    if not rows:
        raise UserError(f"{file} has no row. Expected rows with a path and a label.")
    return rows


def _csv(file: Path) -> Iterable[Row]:
    """Yields the rows of a CSV or TSV file."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            is_tsv = file.suffix.lower() == ".tsv"
            delimiter = "\t" if is_tsv else _delimiter(lines.readline())
            lines.seek(0)
            reader = csv.DictReader(lines, delimiter=delimiter)
            names = _columns(file, reader.fieldnames or ())
            for values in reader:
                if any(values.get(name) for name in names.values()):
                    yield _row(reader.line_num, values, names)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not written in UTF-8. Save it as CSV in UTF-8, or convert it with iconv."
        ) from error
    except (OSError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a table: {error}. Save it again.") from error


def _delimiter(header: str) -> str:
    """Returns the character that separates the columns: a comma, a semicolon or a tab."""
    return max(",;\t", key=header.count)


def _parquet(file: Path) -> Iterable[Row]:
    """Yields the rows of a Parquet file."""
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError(
            f"Reading {file.name} needs pyarrow: pip install pyarrow. Or save the table as CSV."
        ) from error
    try:
        table = parquet.read_table(file)
    except (OSError, ValueError) as error:  # pyarrow's errors are subclasses
        raise UserError(f"{file} cannot be read as a Parquet file: {error}.") from error
    names = _columns(file, table.column_names)
    parts = table.select(list(names.values())).to_pylist()
    for number, values in enumerate(parts, start=1):
        yield _row(number, values, names)


def _columns(file: Path, found: Sequence[str]) -> dict[str, str]:
    """Returns column → its name in the file, where upper and lower case do not matter."""
    names = {name.strip().lower(): name for name in found if name}
    missing = [name for name in ("path", "label") if name not in names]
    if missing:
        raise UserError(
            f"{file} has no column {missing[0]!r}: expected path and label, perhaps split and "
            f"style; got {', '.join(found) or 'none'}. The first line must name the columns."
        )
    return {name: names[name] for name in _COLUMNS if name in names}


def _row(number: int, values: dict, names: dict[str, str]) -> Row:
    texts = [_text(values.get(names.get(column, ""))) for column in _COLUMNS]
    return Row(number, texts[0], texts[1], texts[2], texts[3])


def _text(value: object) -> str:
    """Returns a cell as text; 3.0 becomes "3"."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _row_error(file: Path, row: Row, wanted: str, got: str) -> UserError:
    return UserError(f"{file}, line {row.number}: expected {wanted}; got {got}. Fix the line.")

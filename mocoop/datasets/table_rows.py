"""Rows of a CSV, TSV or Parquet file, with the usual names of columns and ways of writing."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from mocoop.datasets.names import nfc
from mocoop.errors import UserError

COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "filepaths",
             "image", "image_path", "imagepath", "image_name", "img", "img_path", "images"),
    "label": ("label", "labels", "class", "class_name", "classname", "category", "target"),
    "split": ("split", "set", "subset", "partition", "data_set", "dataset", "part"),
    "style": ("style", "domain"),
}  # fmt: skip
"""Column → the names that it may have, the first that a file has counts."""


class Row(NamedTuple):
    """One row of a table."""

    number: int
    """Line number in a CSV file; row number from 1 in a Parquet file."""
    path: str
    label: str
    split: str
    style: str


def read_rows(file: Path) -> Iterator[Row]:
    """Yields the rows of a table that are not empty, one at a time.

    Raises:
        UserError: for a table that cannot be read, or without the columns path and label.
    """
    yield from _parquet(file) if file.suffix.lower() == ".parquet" else _csv(file)


def _csv(file: Path) -> Iterator[Row]:
    """Yields the rows of a CSV or TSV file."""
    try:
        with file.open(encoding=_encoding(file), newline="") as lines:
            found, rows = csv_rows(lines, file.suffix.lower() == ".tsv")
            names = columns(file, found)
            places = [found.index(names[column]) if column in names else -1 for column in COLUMNS]
            for number, values in rows:
                cells = [values[i].strip() if -1 < i < len(values) else "" for i in places]
                if any(cells):
                    path, label, split, style = cells
                    yield Row(number, path, nfc(label), split, nfc(style))
    except UnicodeError as error:
        raise UserError(
            f"{file} is not written in UTF-8. Save it as CSV in UTF-8, or convert it with iconv."
        ) from error
    except (OSError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a table: {error}. Save it again.") from error


def csv_rows(
    lines: IO[str], tabs: bool = False
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Returns the header's cells, and the rows below it, each with the number of its line.

    Empty lines before the header and spaces before a cell do not matter.

    Args:
        lines: a text file that was opened with `newline=""`.
        tabs: whether tabs separate the columns; by default a first line `sep=;`, as Excel writes
            it, or the header says it.
    """
    delimiter, before = _delimiter(lines, tabs)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    header = next((values for values in reader if any(map(str.strip, values))), [])
    return header, ((before + reader.line_num, values) for values in reader)


def encoding_of(start: bytes) -> str:
    """Returns a text's encoding: UTF-16 if it starts with its mark, else UTF-8."""
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _encoding(file: Path) -> str:
    """Returns a text file's encoding."""
    with file.open("rb") as opened:
        return encoding_of(opened.read(2))


def _delimiter(lines: IO[str], tabs: bool) -> tuple[str, int]:
    """Returns what separates the columns, and how many lines before the header were read."""
    number, first = next(
        ((number, line) for number, line in enumerate(lines, 1) if line.strip()), (0, "")
    )
    told = re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE)
    if told:
        return told[1], number
    lines.seek(0)
    return "\t" if tabs else max(",;\t", key=first.count), 0


def _parquet(file: Path) -> Iterator[Row]:
    """Yields the rows of a Parquet file."""
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError(
            f"Reading {file.name} needs pyarrow: pip install pyarrow. Or save the table as CSV."
        ) from error
    try:
        opened = parquet.ParquetFile(file)
        names = columns(file, opened.schema_arrow.names)
        number = 0
        for batch in opened.iter_batches(columns=list(names.values())):
            for values in batch.to_pylist():
                number += 1
                yield _row(number, values, names)
    except UserError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's errors are subclasses
        raise UserError(f"{file} cannot be read as a Parquet file: {error}.") from error


def columns(file: Path, found: Sequence[str]) -> dict[str, str]:
    """Returns column → its name in the file, where case, spaces and hyphens do not matter.

    Raises:
        UserError: if there is no column for the path or for the label.
    """
    names = {re.sub(r"[\s-]+", "_", nfc(name).strip().lower()): name for name in found if name}
    known = {
        column: next((names[word] for word in words if word in names), None)
        for column, words in COLUMNS.items()
    }
    missing = [column for column in ("path", "label") if known[column] is None]
    if missing:
        raise UserError(
            f"{file} has no column {missing[0]!r}: expected path and label, perhaps split and "
            f"style; got {', '.join(found) or 'none'}. The first line must name the columns. "
            f"Other names for {missing[0]} are {', '.join(COLUMNS[missing[0]][1:])}."
        )
    return {column: name for column, name in known.items() if name is not None}


def renamed(names: Mapping[str, str]) -> str:
    """Returns the columns of other names in words, such as ` (path: image)`; may be empty."""
    words = [f"{column}: {name}" for column, name in names.items() if name.lower() != column]
    return f" ({', '.join(words)})" if words else ""


def header(file: Path) -> dict[str, str]:
    """Returns column → its name in the file.

    Raises:
        UserError: as `read_rows`.
    """
    if file.suffix.lower() == ".parquet":
        import pyarrow.parquet as parquet

        try:
            return columns(file, parquet.read_schema(file).names)
        except OSError as error:
            raise UserError(f"{file} cannot be read as a Parquet file: {error}.") from error
    with file.open(encoding=_encoding(file), newline="") as lines:
        return columns(file, csv_rows(lines, file.suffix.lower() == ".tsv")[0])


def _row(number: int, values: Mapping[str, object], names: Mapping[str, str]) -> Row:
    texts = [_text(values.get(names[c])) if c in names else "" for c in COLUMNS]
    return Row(number, texts[0], nfc(texts[1]), texts[2], nfc(texts[3]))


def _text(value: object) -> str:
    """Returns a cell as text; 3.0 becomes "3"."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def row_error(file: Path, number: int, wanted: str, got: str) -> UserError:
    """Returns the error for a row that is not as expected."""
    return UserError(f"{file}, line {number}: expected {wanted}; got {got}. Fix the line.")

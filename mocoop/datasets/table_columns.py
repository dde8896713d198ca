"""The images that a table lists, read row by row into compact columns.

A table of ten million rows takes the memory of its paths and little more: labels, parts and
styles are numbers, and that no path is listed twice is checked with one number for each path.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mocoop.datasets.listed_paths import ListedPaths
from mocoop.datasets.names import in_order
from mocoop.datasets.table_rows import read_rows, row_error
from mocoop.errors import UserError

MOST_ROWS = 20_000_000  # MOCOOP_MAX_ROWS sets another number
_FEW = 100_000  # paths that are listed twice and looked up again


@dataclass
class Texts:
    """The different texts of a column as numbers, in the order of their first appearance."""

    number_of: dict[str, int] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)
    """The line in which each text is first."""
    column: array[int] = field(default_factory=lambda: array("i"))
    """The number of the text in each row."""

    def add(self, text: str, line: int) -> None:
        """Adds the text of a row."""
        number = self.number_of.get(text)
        if number is None:
            number = self.number_of[text] = len(self.lines)
            self.lines.append(line)
        self.column.append(number)

    def numbered(self, order: Iterable[str]) -> np.ndarray:
        """Returns the column (rows,) with each text's place in `order` as its number."""
        place = np.empty(len(self.number_of), np.int32)
        for index, text in enumerate(order):
            place[self.number_of[text]] = index
        return place[np.frombuffer(self.column, np.int32)]


@dataclass
class ListedImages:
    """The images of a table, in the order of its rows."""

    paths: list[str] = field(default_factory=list)
    """Paths relative to the table's folder."""
    labels: Texts = field(default_factory=Texts)
    splits: Texts = field(default_factory=Texts)
    styles: Texts = field(default_factory=Texts)

    def groups(self, *columns: np.ndarray) -> Iterable[tuple[tuple[int, ...], list[str]]]:
        """Yields the numbers of some columns with the paths of the rows that have them, sorted.

        The order is that of a folder: by the first column, the second and so on, then by path,
        folder by folder. So the order of the rows does not matter.
        """
        order = np.lexsort(columns[::-1])
        keys = np.stack([column[order] for column in columns], axis=1)
        starts = np.flatnonzero(np.any(keys[1:] != keys[:-1], axis=1)) + 1
        for start, end in zip((0, *starts), (*starts, len(order)), strict=True):
            paths = [self.paths[row] for row in order[start:end]]
            # Sorted by character, "a-b/1.png" would come before "a/1.png".
            paths.sort(key=lambda path: path.replace("/", "\0"))
            yield tuple(keys[start].tolist()), paths


def read_images(file: Path, most: int | None = None) -> ListedImages:
    """Returns the images that a table lists.

    Args:
        file: the table.
        most: how many images it may list; by default `max_rows()`.

    Raises:
        UserError: for a table that cannot be read, has no row or too many, a row without path or
            label, or a path that is listed twice.
    """
    limit = max_rows() if most is None else most
    paths, listed, hashes = ListedPaths(file.parent), ListedImages(), array("q")
    for number, path, label, split, style in read_rows(file):
        if not path or "\0" in path:
            got = repr(path[:60]) if path else "none"
            raise row_error(file, number, "the path of an image", got)
        if not label:
            raise row_error(file, number, f"a label for {path}", "none")
        if len(hashes) == limit:
            raise _too_many(file, limit, most is None)
        found = paths.of(path)
        listed.paths.append(found)
        hashes.append(hash(found))
        listed.labels.add(label, number)
        listed.splits.add(split, number)
        listed.styles.add(style, number)
    if not hashes:
        raise UserError(f"{file} has no row. Expected rows with a path and a label.")
    _check_listed_once(file, np.frombuffer(hashes, np.int64))
    return listed


def max_rows() -> int:
    """Returns how many images a table may list: MOCOOP_MAX_ROWS, or 20 million.

    Raises:
        UserError: if MOCOOP_MAX_ROWS is not a whole number above 0.
    """
    given = os.environ.get("MOCOOP_MAX_ROWS")
    if not given:
        return MOST_ROWS
    digits = given.replace("_", "").strip()
    if not digits.isdecimal() or not int(digits):
        raise UserError(f"MOCOOP_MAX_ROWS is {given!r}: expected a number, such as 20000000.")
    return int(digits)


def label_order(listed: ListedImages) -> list[str]:
    """Returns the different labels in label order: numbers by value, others as text."""
    return in_order(listed.labels.number_of)


def _too_many(file: Path, limit: int, settable: bool) -> UserError:
    if settable:
        advice = "List fewer, or set MOCOOP_MAX_ROWS to a larger number."
    else:
        advice = "There are no more files beside it, and no image may be listed twice."
    return UserError(f"{file} lists more than {limit:,} images. {advice}")


def _check_listed_once(file: Path, hashes: np.ndarray) -> None:
    """Raises UserError if a path is listed twice.

    Args:
        file: the table.
        hashes: (rows,), one number for each path; different paths hardly ever have the same.
    """
    in_turn = np.sort(hashes)
    twice = in_turn[1:][in_turn[1:] == in_turn[:-1]]
    if not len(twice):
        return
    wanted, paths = set(twice[:_FEW].tolist()), ListedPaths(file.parent)
    first: dict[str, int] = {}
    for row in read_rows(file):
        path = paths.of(row.path)
        if hash(path) not in wanted:
            continue
        if path in first:
            raise UserError(
                f"{file}, line {row.number}: {path} is already listed in line {first[path]}. "
                "Keep one of the two."
            )
        first[path] = row.number

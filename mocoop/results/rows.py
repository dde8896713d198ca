"""Results of every seed as rows: written to CSV, read from CSV, and looked up by their keys."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import ItemsView, Sequence
from dataclasses import dataclass

from mocoop.csv_cells import csv_cell, from_csv_cell
from mocoop.errors import UserError, choose_from
from mocoop.methods import METHODS
from mocoop.results.cells import Series, first_seen
from mocoop.results.marks import ALL_NAMES, MARK
from mocoop.shots import ALL_SHOTS, shots_text

PROTOCOLS = ("few-shot", "base-to-new", "domain-generalization", "cross-dataset", "ablation")
Key = tuple[str, str, str, int, str]
"""Data, target, method, shots, measure."""


@dataclass(frozen=True)
class Row:
    """One number of one run."""

    protocol: str
    """One of `PROTOCOLS`."""
    data: str
    """Data set of the training images."""
    target: str
    """What the run was tested on: the same data set, another one, or a style."""
    method: str
    """Label of the method, or of the variant in an ablation."""
    shots: int
    """Training images per class, or `ALL_SHOTS`; 0 for a method without training, which tables
    show with every number of shots."""
    seed: int
    measure: str
    """accuracy, base, new, HM, style NMI, calibration error, training seconds ..."""
    value: float
    """The number; in percent for accuracies and calibration errors."""
    chosen_on_test: bool = False
    """Whether something behind the number was chosen on validation images that are test images."""
    all_names: bool = False
    """Whether the text loss also saw the names of classes that were not trained."""
    style: str = ""
    """The style of the training images, if only those of one style were trained on."""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise choose_from("protocol", self.protocol, PROTOCOLS)
        for name in ("data", "target", "method", "measure"):
            if not getattr(self, name).strip():
                raise UserError(f"{name} of a result must not be empty.")
        if (self.shots < 0 and self.shots != ALL_SHOTS) or self.seed < 0:
            raise UserError(
                f"shots and seed must be at least 0 ({ALL_SHOTS} shots for all images); got "
                f"{self.shots} and {self.seed}."
            )
        if not math.isfinite(self.value):
            raise UserError(
                f"The {self.measure} of {self.method} on {self.target} must be a finite number; "
                f"got {self.value}. Leave this row out."
            )


_FIELDS = [field.name for field in dataclasses.fields(Row)]
_MARKS = ("chosen_on_test", "all_names")
_LATER = (*_MARKS, "style")  # earlier files lack the last of these columns, or all of them


def to_csv(rows: Sequence[Row]) -> str:
    """Returns all rows as CSV with a header, in their order, with all digits of the values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FIELDS)
    for row in rows:
        numbers = dataclasses.astuple(row)[: -len(_LATER)]
        marks = (int(getattr(row, mark)) for mark in _MARKS)
        writer.writerow(map(csv_cell, (*numbers, *marks, row.style)))
    return text.getvalue()


def from_csv(text: str) -> tuple[Row, ...]:
    """Returns the rows in a CSV text that `to_csv` wrote; earlier files lack the last columns.

    Without `all_names`, it is that of the method's preset.

    Raises:
        UserError: if the columns are others, or a line is not a result.
    """
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, [])
    if header not in [_FIELDS[: len(_FIELDS) - missing] for missing in range(len(_LATER) + 1)]:
        raise UserError(
            f"Expected a table of results with the columns {', '.join(_FIELDS)}; got "
            f"{', '.join(header) or 'nothing'}. Give the CSV file that the protocols wrote."
        )
    rows = []
    for cells in lines:
        try:
            protocol, data, target, method, shots, seed, measure, value, *more = map(
                from_csv_cell, cells
            )
            numbers = int(shots), int(seed), measure, float(value)
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells")
            marks = [bool(int(text)) for text in more[: len(_MARKS)]]
            if len(marks) < len(_MARKS):
                by_preset = protocol == "base-to-new" and _names_all(method)
                marks = [*(marks or [False]), by_preset]
            style = more[len(_MARKS)] if len(more) == len(_LATER) else ""
            rows.append(Row(protocol, data, target, method, *numbers, marks[0], marks[1], style))
        except ValueError as error:
            raise UserError(
                f"Line {lines.line_num} is not a result: expected {len(header)} cells with "
                f"integers for shots and seed and a number as value; got {','.join(cells)!r} "
                f"({error})."
            ) from error
    return tuple(rows)


def _names_all(label: str) -> bool:
    """Returns whether the preset of the method in a label names all classes in its text loss."""
    key = method_in(label)
    return bool(key) and METHODS[key].settings.get("text_classes") == "all"


def method_in(label: str) -> str:
    """Returns the key of the method with which a label starts, or an empty text.

    >>> method_in("mocoop-v, K = 1"), method_in("K = 1")
    ('mocoop-v', '')
    """
    key = label.split(", ")[0]
    return key if key in METHODS else ""


class ResultIndex:
    """Some measures of one protocol, looked up by data, target, method and shots.

    All its sequences are in order of first appearance.
    """

    def __init__(self, rows: Sequence[Row], protocol: str, measures: tuple[str, ...]) -> None:
        """Selects some measures of a protocol.

        Raises:
            UserError: if there are no such results, or a result appears twice.
        """
        chosen = [row for row in rows if row.protocol == protocol and row.measure in measures]
        if not chosen:
            present = first_seen(f"{row.measure} in {row.protocol}" for row in rows)
            raise UserError(
                f"Expected results for {' or '.join(measures)} in {protocol}; got "
                f"{', '.join(present) or 'no rows'}. Run that protocol first."
            )
        marks: dict[str, str] = {}
        for row in chosen:
            own = (MARK, row.chosen_on_test), (ALL_NAMES, row.all_names)
            for mark in (mark for mark, holds in own if holds):
                if mark not in marks.get(row.method, ""):
                    marks[row.method] = f"{marks.get(row.method, '')} {mark}"
        self.chosen_on_test = first_seen(row.data for row in chosen if row.chosen_on_test)
        self.all_names = any(row.all_names for row in chosen)
        self.styles = first_seen(row.style for row in chosen)
        chosen = [
            dataclasses.replace(row, method=row.method + marks.get(row.method, ""))
            for row in chosen
        ]
        self.protocol = protocol
        self.data = first_seen(row.data for row in chosen)
        self.targets = first_seen(row.target for row in chosen)
        self.methods = first_seen(row.method for row in chosen)
        self.measures = first_seen(row.measure for row in chosen)
        self.shots = first_seen(row.shots for row in chosen if row.shots) or (0,)
        self.pairs = first_seen((row.method, row.shots) for row in chosen)
        self._series: dict[Key, dict[int, float]] = {}
        for row in chosen:
            key = (row.data, row.target, row.method, row.shots, row.measure)
            series = self._series.setdefault(key, {})
            if row.seed in series:
                raise UserError(
                    f"Two results for {row.measure} of {row.method} on {row.target}, {row.shots} "
                    f"shots, seed {row.seed}: {series[row.seed]} and {row.value}. Remove one."
                )
            series[row.seed] = row.value
        self.num_seeds = max(len(series) for series in self._series.values())

    @property
    def variants(self) -> list[tuple[str, str, int]]:
        """Label, method and shots of each line; the label has the shots only if they differ."""
        trained = {method for method, shots in self.pairs if shots}
        return [
            (
                f"{method}, {shots_text(shots)}" if shots and len(self.shots) > 1 else method,
                method,
                shots,
            )
            for method, shots in self.pairs
            if shots or method not in trained
        ]

    def series(self, data: str, target: str, method: str, shots: int, measure: str) -> Series:
        """Returns seed → value; empty if there is no result.

        A method without training (0 shots) has the same results for every number of shots.
        """
        exact = self._series.get((data, target, method, shots, measure))
        return exact or self._series.get((data, target, method, 0, measure), {})

    def items(self) -> ItemsView[Key, dict[int, float]]:
        """Returns all results: (data, target, method, shots, measure) → seed → value."""
        return self._series.items()

    def parts(self, data: Sequence[str], method: str, shots: int, measure: str) -> list[Series]:
        """Returns the series of each data set, tested on itself."""
        return [self.series(name, name, method, shots, measure) for name in data]

    def targets_of(self, data: str) -> tuple[str, ...]:
        """Returns the targets that were tested after training on a data set."""
        tested = {key[1] for key in self._series if key[0] == data}
        return tuple(target for target in self.targets if target in tested)

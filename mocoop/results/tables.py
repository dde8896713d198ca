"""The tables of every protocol: rows of single seeds in, tables ready to be shown out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mocoop.errors import UserError, choose_from
from mocoop.evaluation.measure_table import find_measure
from mocoop.results.cells import (
    Block,
    Cell,
    Line,
    Series,
    Table,
    difference,
    finished,
    first_seen,
    harmonic_cell,
    harmonic_series,
    mean_cell,
    seedwise_mean,
    table_name,
)
from mocoop.results.marks import chosen_note, unmarked
from mocoop.results.published import NOT_COMPARABLE, base_to_new_block
from mocoop.results.rows import (
    PROTOCOLS,
    ResultIndex,
    Row,
    from_csv,
    shots_text,
    to_csv,
)

__all__ = [
    "PROTOCOLS",
    "Row",
    "ablation_table",
    "base_to_new_tables",
    "few_shot_tables",
    "from_csv",
    "measure_table",
    "to_csv",
    "transfer_tables",
]


def few_shot_tables(rows: Sequence[Row], measure: str = "accuracy") -> tuple[Table, ...]:
    """Returns methods × shots: the average over data sets first, then each data set.

    An average is taken over data sets seed by seed, for the seeds that all of them have: mean
    and sample standard deviation are over these averages. The last column does the same over
    shots.

    Raises:
        UserError: if there is no such result, or one is there twice.
    """
    found = ResultIndex(rows, "few-shot", (measure,))
    columns = tuple(map(shots_text, found.shots))
    tables = []
    for data in _average_first(found.data):
        lines = []
        for method in found.methods:
            by_shots = [found.parts(data, method, shots, measure) for shots in found.shots]
            flat = [series for parts in by_shots for series in parts]
            lines.append(Line((method,), (*map(mean_cell, by_shots), mean_cell(flat))))
        heads = (*columns, "mean of shots")
        table = _table(found, f"Few-shot {measure}", data, heads, lines, measure)
        tables.append(replace(table, mean_last=True))
    return tuple(tables)


def base_to_new_tables(rows: Sequence[Row], published: bool = True) -> tuple[Table, ...]:
    """Returns methods × (base, new, HM): the average over data sets first, then each data set.

    HM is computed here from base and new, seed by seed; for the average from the mean base and
    the mean new accuracy of the seed, which is what papers report.

    Args:
        rows: results of any protocols.
        published: the first table also holds published averages, in a block of their own.

    Raises:
        UserError: if there is no such result, or one is there twice.
    """
    found = ResultIndex(rows, "base-to-new", ("base", "new"))
    tables: list[Table] = []
    for data in _average_first(found.data):
        lines = []
        for label, method, shots in found.variants:
            base = found.parts(data, method, shots, "base")
            new = found.parts(data, method, shots, "new")
            cells = (mean_cell(base), mean_cell(new), harmonic_cell(base, new))
            lines.append(Line((label,), cells))
        notes = _shots_note(found) + (_HM_OF_MEANS if len(data) > 1 else "")
        beside = published and not tables
        extra = (base_to_new_block(),) if beside else ()
        notes += NOT_COMPARABLE if beside else ""
        kind, columns = "Base-to-new accuracy", ("base", "new", "HM")
        tables.append(_table(found, kind, data, columns, lines, "accuracy", notes, extra))
    return tuple(tables)


def transfer_tables(
    rows: Sequence[Row], protocol: str, measure: str = "accuracy"
) -> tuple[Table, ...]:
    """Returns methods × (source, each target, mean over targets) for each source data set.

    Where all sources have the same targets (styles), the average over sources comes first.

    Args:
        rows: results of any protocols.
        protocol: domain-generalization or cross-dataset.
        measure: what the tables show.

    Raises:
        UserError: for another protocol, if there is no such result, or one is there twice.
    """
    if protocol not in _TRANSFER:
        raise choose_from("protocol of a transfer table", protocol, tuple(_TRANSFER))
    found = ResultIndex(rows, protocol, (measure,))
    targets = {
        source: tuple(target for target in found.targets_of(source) if target != source)
        for source in found.data
    }
    same = len(set(targets.values())) == 1
    tables = []
    for sources in _average_first(found.data) if same else [(name,) for name in found.data]:
        reached = targets[sources[0]]
        lines = []
        for label, method, shots in found.variants:
            by_target = [
                [found.series(name, target, method, shots, measure) for name in sources]
                for target in reached
            ]
            own = mean_cell(found.parts(sources, method, shots, measure))
            flat = [series for parts in by_target for series in parts]
            lines.append(Line((label,), (own, *map(mean_cell, by_target), mean_cell(flat))))
        first = sources[0] if len(sources) == 1 else "source"
        columns = (first, *reached, "mean of targets")
        kind = f"{_TRANSFER[protocol]}, {measure}"
        notes = _shots_note(found) + "Trained on the first column's data, tested on each. "
        tables.append(_table(found, kind, sources, columns, lines, measure, notes))
    return tuple(tables)


def measure_table(rows: Sequence[Row], measure: str, protocol: str | None = None) -> Table:
    """Returns methods × data sets for one measure, with the average over data sets.

    There is a column for each place: a data set, or `data → target` where they differ.

    Raises:
        UserError: if there is no such result, one is there twice, or several protocols have
            the measure and none is named.
    """
    there = first_seen(row.protocol for row in rows if row.measure == measure)
    if protocol is None and len(there) > 1:
        raise UserError(
            f"{measure} was measured by {' and '.join(there)}: name one of them as protocol, "
            "their numbers do not belong side by side."
        )
    found = ResultIndex(rows, protocol or (there[0] if there else "any protocol"), (measure,))
    places = [(source, target) for source in found.data for target in found.targets_of(source)]
    own = [source for source, target in places if source == target]
    columns = tuple(s if s == t else f"{s} → {t}" for s, t in places)
    lines = []
    for label, method, shots in found.variants:
        cells = [mean_cell([found.series(*place, method, shots, measure)]) for place in places]
        if len(own) > 1:
            cells.append(mean_cell(found.parts(own, method, shots, measure)))
        lines.append(Line((label,), tuple(cells)))
    columns += ("average",) if len(own) > 1 else ()
    kind = f"{find_measure(measure).label}, {found.protocol}"
    return _table(found, kind, (), columns, lines, measure, _shots_note(found))


def ablation_table(rows: Sequence[Row]) -> Table:
    """Returns variants × (few-shot accuracy, base, new, HM), averaged over data sets.

    Behind them, marked Δ, the differences from the first variant: of each seed against the same
    seed, then mean ± sample standard deviation. HM is that of the mean base and the mean new
    accuracy.

    Raises:
        UserError: if there is no such result, or one is there twice.
    """
    found = ResultIndex(rows, "ablation", ("accuracy", "base", "new"))
    columns = ["few-shot"] * ("accuracy" in found.measures)
    columns += ["base", "new", "HM"] * ("base" in found.measures or "new" in found.measures)
    lines: list[Line] = []
    reference: dict[str, Series] = {}
    for label, method, shots in found.variants:
        few, base, new = (
            found.parts(found.data, method, shots, measure)
            for measure in ("accuracy", "base", "new")
        )
        cells = {
            "few-shot": mean_cell(few),
            "base": mean_cell(base),
            "new": mean_cell(new),
            "HM": harmonic_cell(base, new),
        }
        by_seed: dict[str, Series] = {
            "few-shot": seedwise_mean(few),
            "base": seedwise_mean(base),
            "new": seedwise_mean(new),
            "HM": harmonic_series(base, new),
        }
        reference = reference or by_seed
        gaps = [
            mean_cell([difference(by_seed[name], reference[name])], signed=True)
            if lines
            else Cell()
            for name in columns
        ]
        lines.append(Line((label,), (*(cells[name] for name in columns), *gaps)))
    notes = _shots_note(found) + f"Δ: minus {lines[0].labels[0]}, over the seeds both have. "
    notes += _HM_OF_MEANS if "HM" in columns and len(found.data) > 1 else ""
    heads = (*columns, *(f"Δ {name}" for name in columns))
    kind = "Ablation, accuracy"
    return _table(found, kind, found.data, heads, lines, "accuracy", notes, first="variant")


_TRANSFER = {
    "domain-generalization": "Domain generalisation",
    "cross-dataset": "Cross-dataset transfer",
}
SPREAD = "Mean ± sample standard deviation (n − 1)"
LEFT_OUT = "; an average that lacks some of its parts is left out"
_HM_OF_MEANS = (
    "HM is that of the mean base and the mean new accuracy, seed by seed, as papers report it. "
)


def _table(
    found: ResultIndex,
    kind: str,
    data: Sequence[str],
    columns: Sequence[str],
    lines: Sequence[Line],
    measure: str,
    notes: str = "",
    extra: tuple[Block, ...] = (),
    first: str = "method",
) -> Table:
    """Returns the finished table of a protocol with the notes that its cells need."""
    seeds = found.num_seeds
    shown = find_measure(measure)
    done = finished(lines, seeds, shown.digits, shown.better)
    cells = [cell for line in done for cell in line.cells]
    over = f"{SPREAD} over {seeds} seeds" if seeds > 1 else "One seed"
    if any(cell.note.startswith("n=") for cell in cells):
        over += " (n: where fewer)"
    if any(cell.bold for cell in cells):
        over += ", best of each column in bold"
    if any(" of " in cell.note for cell in cells):
        over += LEFT_OUT
    places = [name for name in data or found.data if name in found.chosen_on_test]
    if places:
        notes = f"{chosen_note(places)} {notes}"
    else:  # the mark is of other data sets than this table's
        done = tuple(replace(line, labels=tuple(map(unmarked, line.labels))) for line in done)
    several = len(data) > 1
    place = f"average over {len(data)} data sets" if several else "".join(data)
    return Table(
        table_name(f"{kind} {'average' if several else place}"),
        f"{kind}, {place}".removesuffix(", "),
        f"{notes}{over}.",
        (first,),
        tuple(columns),
        (Block(done), *extra),
        measure,
        tuple(data),
    )


def _average_first(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Returns all names together where there are several, then each alone."""
    return ([names] if len(names) > 1 else []) + [(name,) for name in names]


def _shots_note(found: ResultIndex) -> str:
    return f"{shots_text(found.shots[0])}. " if len(found.shots) == 1 and found.shots[0] else ""

"""The result tables of every protocol, made from the rows of single seeds."""

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
    first_seen,
    harmonic_cell,
    harmonic_series,
    mean_cell,
    seedwise_mean,
    table_name,
    with_best_in_bold,
)
from mocoop.results.marks import ALL_NAMES_NOTE, SEEN_NAMES_NOTE, chosen_note, unmarked
from mocoop.results.published import NOT_COMPARABLE, base_to_new_block
from mocoop.results.rows import (
    PROTOCOLS,
    ResultIndex,
    Row,
    from_csv,
    method_in,
    to_csv,
)
from mocoop.shots import shots_text

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
    """Returns tables of methods × shots: the average over data sets, then each data set.

    The average over data sets is computed for each seed that all of them have. Mean and
    sample standard deviation are over these averages. With several shots, the last column is
    the mean over shots, computed in the same way.

    Raises:
        UserError: if there are no such results, or a result appears twice.
    """
    results = ResultIndex(rows, "few-shot", (measure,))
    tables = []
    for data in _average_first(results.data):
        all_shots = _complete_shots(results, data, measure)
        lines = []
        for method in results.methods:
            by_shots = [results.parts(data, method, shots, measure) for shots in all_shots]
            flat = [series for parts in by_shots for series in parts]
            several = (mean_cell(flat),) if len(all_shots) > 1 else ()
            lines.append(Line((method,), (*map(mean_cell, by_shots), *several)))
        heads = (*map(shots_text, all_shots), MEAN_OF_SHOTS)[: len(lines[0].cells)]
        table = _table(results, f"Few-shot {measure}", data, heads, lines, measure)
        tables.append(replace(table, mean_last=len(all_shots) > 1))
    return tuple(tables)


def _complete_shots(results: ResultIndex, data: Sequence[str], measure: str) -> tuple[int, ...]:
    """Returns the shots for which a trained method was run on all the data; all if there are none.

    Methods without training have the same numbers for all shots, and would stand alone.
    """
    complete = {
        shots
        for method, shots in results.pairs
        if shots and all(results.parts(data, method, shots, measure))
    }
    return tuple(shots for shots in results.shots if shots in complete) or results.shots


def base_to_new_tables(rows: Sequence[Row], published: bool = True) -> tuple[Table, ...]:
    """Returns tables of methods × (base, new, HM): the average, then each data set.

    HM is computed here for each seed from base and new. The HM of the average is computed from
    the mean base and the mean new accuracy of the seed, as papers report it.

    Args:
        rows: results of any protocols.
        published: whether the first table also shows published averages, in a second block.

    Raises:
        UserError: if there are no such results, or a result appears twice.
    """
    results = ResultIndex(rows, "base-to-new", ("base", "new"))
    tables: list[Table] = []
    for data in _average_first(results.data):
        lines = []
        for label, method, shots in results.variants:
            base = results.parts(data, method, shots, "base")
            new = results.parts(data, method, shots, "new")
            cells = (mean_cell(base), mean_cell(new), harmonic_cell(base, new))
            lines.append(Line((label,), cells))
        notes = _shots_note(results) + (_HM_OF_MEANS if len(data) > 1 else "")
        with_published = published and not tables
        extra = (base_to_new_block(),) if with_published else ()
        notes += NOT_COMPARABLE if with_published else ""
        kind, columns = "Base-to-new accuracy", ("base", "new", "HM")
        tables.append(_table(results, kind, data, columns, lines, "accuracy", notes, extra))
    return tuple(tables)


def transfer_tables(
    rows: Sequence[Row], protocol: str, measure: str = "accuracy"
) -> tuple[Table, ...]:
    """Returns a table of methods × (source, each target, mean of targets) for each source.

    If all sources have the same targets (styles), the average over sources comes first.

    Args:
        rows: results of any protocols.
        protocol: domain-generalization or cross-dataset.
        measure: the measure to show.

    Raises:
        UserError: for another protocol, if there are no such results, or one appears twice.
    """
    if protocol not in _TRANSFER:
        raise choose_from("protocol of a transfer table", protocol, tuple(_TRANSFER))
    results = ResultIndex(rows, protocol, (measure,))
    targets = {
        source: tuple(target for target in results.targets_of(source) if target != source)
        for source in results.data
    }
    same = len(set(targets.values())) == 1
    tables = []
    for sources in _average_first(results.data) if same else [(name,) for name in results.data]:
        reached = targets[sources[0]]
        lines = []
        for label, method, shots in results.variants:
            by_target = [
                [results.series(name, target, method, shots, measure) for name in sources]
                for target in reached
            ]
            own = mean_cell(results.parts(sources, method, shots, measure))
            flat = [series for parts in by_target for series in parts]
            lines.append(Line((label,), (own, *map(mean_cell, by_target), mean_cell(flat))))
        first = sources[0] if len(sources) == 1 else "source"
        if len(results.styles) == 1 and results.styles[0]:
            first = f"{results.styles[0]} (trained on)"
        columns = (first, *reached, "mean of targets")
        kind = f"{_TRANSFER[protocol]}, {measure}"
        notes = f"{_shots_note(results)}Trained on the first column's images, tested on each. "
        tables.append(_table(results, kind, sources, columns, lines, measure, notes))
    return tuple(tables)


def measure_table(rows: Sequence[Row], measure: str, protocol: str | None = None) -> Table:
    """Returns a table of methods × data sets for one measure, with the average over data sets.

    Each column is a data set, or `data → target` if the run was tested on another target.

    Raises:
        UserError: if there are no such results, one appears twice, or several protocols have
            the measure and `protocol` is None.
    """
    protocols = first_seen(row.protocol for row in rows if row.measure == measure)
    if protocol is None and len(protocols) > 1:
        raise UserError(
            f"{measure} was measured by {' and '.join(protocols)}: choose one of them as "
            "protocol, because their numbers cannot be compared."
        )
    protocol = protocol or (protocols[0] if protocols else "any protocol")
    results = ResultIndex(rows, protocol, (measure,))
    pairs = [(source, target) for source in results.data for target in results.targets_of(source)]
    own = [source for source, target in pairs if source == target]
    columns = tuple(s if s == t else f"{s} → {t}" for s, t in pairs)
    lines = []
    for label, method, shots in results.variants:
        cells = [mean_cell([results.series(*pair, method, shots, measure)]) for pair in pairs]
        if len(own) > 1:
            cells.append(mean_cell(results.parts(own, method, shots, measure)))
        lines.append(Line((label,), tuple(cells)))
    columns += ("average",) if len(own) > 1 else ()
    kind = f"{find_measure(measure).label}, {results.protocol}"
    return _table(results, kind, (), columns, lines, measure, _shots_note(results))


def ablation_table(rows: Sequence[Row]) -> Table:
    """Returns a table of variants × (few-shot accuracy, base, new, HM), averaged over data sets.

    The variants are those of one method, after which the table is named if the labels are.
    Further columns, marked Δ, show the differences from the first variant: mean ± standard
    deviation of the differences between equal seeds. HM is computed from the mean base and the
    mean new accuracy.

    Raises:
        UserError: if there are no such results, or a result appears twice.
    """
    results = ResultIndex(rows, "ablation", ("accuracy", "base", "new"))
    columns = ["few-shot"] * ("accuracy" in results.measures)
    columns += ["base", "new", "HM"] * ("base" in results.measures or "new" in results.measures)
    lines: list[Line] = []
    reference: dict[str, Series] = {}
    for label, method, shots in results.variants:
        few, base, new = (
            results.parts(results.data, method, shots, measure)
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
    reference_label = lines[0].labels[0]
    notes = _shots_note(results)
    notes += f"Δ: difference from {reference_label}, over the seeds that both have. "
    notes += _HM_OF_MEANS if "HM" in columns and len(results.data) > 1 else ""
    heads = (*columns, *(f"Δ {name}" for name in columns))
    method = method_in(reference_label)
    kind = f"Ablation of {method}, accuracy" if method else "Ablation, accuracy"
    return _table(results, kind, results.data, heads, lines, "accuracy", notes, first="variant")


_TRANSFER = {
    "domain-generalization": "Domain generalisation",
    "cross-dataset": "Cross-dataset transfer",
}
SPREAD = "Mean ± sample standard deviation (n − 1)"
MEAN_OF_SHOTS = "mean of shots"
LEFT_OUT = "; averages with missing parts are left out"
BEST_IN_BOLD = ", best of each column in bold"
_HM_OF_MEANS = (
    "HM is the harmonic mean of mean base and mean new accuracy of each seed, as papers report "
    "it. "
)


def _table(
    results: ResultIndex,
    kind: str,
    data: Sequence[str],
    columns: Sequence[str],
    lines: Sequence[Line],
    measure: str,
    notes: str = "",
    extra: tuple[Block, ...] = (),
    first: str = "method",
) -> Table:
    """Returns the table of a protocol, with the notes that explain its cells."""
    seeds = results.num_seeds
    shown = find_measure(measure)
    marked = with_best_in_bold(lines, seeds, shown.digits, shown.better)
    cells = [cell for line in marked for cell in line.cells]
    how = f"{SPREAD} over {seeds} seeds" if seeds > 1 else "One seed"
    if any(cell.note.startswith("n=") for cell in cells):
        how += " (n: number of seeds if fewer)"
    if any(cell.bold for cell in cells):
        how += BEST_IN_BOLD
    if any(" of " in cell.note for cell in cells):
        how += LEFT_OUT
    tainted = [name for name in data or results.data if name in results.chosen_on_test]
    if tainted:
        notes = f"{chosen_note(tainted)} {notes}"
    else:  # the mark belongs to other data sets than those of this table
        marked = tuple(replace(line, labels=tuple(map(unmarked, line.labels))) for line in marked)
    if results.all_names:
        notes = f"{ALL_NAMES_NOTE} {notes}"
    elif "new" in columns:
        notes = f"{SEEN_NAMES_NOTE} {notes}"
    several = len(data) > 1
    scope = f"average over {len(data)} data sets" if several else "".join(data)
    return Table(
        table_name(f"{kind} {'average' if several else scope}"),
        f"{kind}, {scope}".removesuffix(", "),
        f"{notes}{how}.",
        (first,),
        tuple(columns),
        (Block(marked), *extra),
        measure,
        tuple(data),
    )


def _average_first(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Returns all names together if there are several, then each name alone."""
    return ([names] if len(names) > 1 else []) + [(name,) for name in names]


def _shots_note(results: ResultIndex) -> str:
    return (
        f"{shots_text(results.shots[0])}. " if len(results.shots) == 1 and results.shots[0] else ""
    )

"""Parts of the Compare page: filters, the table of runs, means over seeds, curves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from app.caches.run_list import stamp_of
from app.common import state
from app.common.words import BESIDE, escape_markdown
from app.compare import tables, words
from app.compare.figures import Curve, training_curves
from app.compare.mean_tables import mean_tables
from app.compare.tables import RunFilter
from app.ui.parts import csv_button, show_figure
from app.ui.safe_markdown import without_directives
from mocoop.errors import UserError
from mocoop.results.cells import Table, first_seen
from mocoop.results.gather import Gathered, gather
from mocoop.results.markup import to_latex, to_markdown
from mocoop.results.means import means_csv
from mocoop.results.rows import PROTOCOLS, Row, to_csv
from mocoop.runs.paths import SWEEPS, protocol_runs
from mocoop.runs.run import Run, damaged_runs, list_runs, open_run
from mocoop.runs.status import STOPPED
from mocoop.shots import ALL_SHOTS, shots_value
from mocoop.sweeps.journal import sweeps

TABS = (words.RUNS, words.MEANS, BESIDE, words.CURVES)
MAX_CURVES = 8


def all_runs() -> dict[str, Run]:
    """Returns every run by its name on the page, last changed first; ties by name.

    These are the user's runs, those of protocols and sweeps, and those that come with the project.
    """
    protocol = protocol_runs()
    of_sweeps = [journal.runs for journal in sweeps()]
    by_name: dict[str, Run] = {}
    changed: dict[str, float] = {}
    damaged = (*damaged_runs(), *damaged_runs([protocol, *of_sweeps]))
    for run in (*list_runs(), *list_runs([protocol, *of_sweeps]), *damaged):
        name = f"protocol/{run.name}" if run.path.parent == protocol else run.name
        if run.path.parent in of_sweeps:
            name = f"{SWEEPS}/{run.path.parents[1].name}/{run.name}"
        if name not in by_name:
            with suppress(UserError):  # the run was deleted in the meantime
                changed[name] = tables.last_change(run)
                by_name[name] = run
    return {
        name: by_name[name] for name in sorted(changed, key=lambda name: (-changed[name], name))
    }


def table_of(runs: dict[str, Run]) -> pd.DataFrame:
    """Returns the table of runs; a run's row is cached until its status changes."""
    stamps = _stamps(runs.values())
    return _table(
        tuple(
            (str(run.path), name, stamps[run], _state(run))
            for name, run in runs.items()
            if run in stamps
        )
    )


def _state(run: Run) -> str:
    """Returns a run's state: that its process was killed changes no file. "" if it is damaged."""
    with suppress(UserError):
        return run.status().state
    return ""


def _stamps(runs: Iterable[Run]) -> dict[Run, float]:
    """Returns each run's stamp, which changes when the run does; deleted runs are left out."""
    stamps = {}
    for run in runs:
        with suppress(UserError):
            stamps[run] = stamp_of(run)
    return stamps


@st.cache_data(show_spinner=words.READING, max_entries=4)
def _table(stamped: tuple[tuple[str, str, float, str], ...]) -> pd.DataFrame:
    rows = []
    for key in stamped:
        with suppress(UserError):  # the run was deleted in the meantime
            rows.append(_row(*key))
    return tables.run_table(rows)


@st.cache_data(show_spinner=False, max_entries=5000)
def _row(path: str, name: str, stamp: float, state: str) -> dict:
    return tables.run_row(Run(Path(path)), name)


def pick_filter(table: pd.DataFrame) -> RunFilter:
    """Returns the filters that the user chose; by default all runs pass."""
    chosen = {}
    fields = {
        "data": (words.DATA, state.ONLY_DATA),
        "method": (words.METHOD, state.ONLY_METHOD),
        "shots": (words.SHOTS, state.ONLY_SHOTS),
        "trained on": (words.TRAINED_ON, state.ONLY_TRAINED),
        "state": (words.STATE, state.ONLY_STATE),
    }
    with st.container(key="filters"):
        columns = st.columns(len(fields))
    for column, (name, (label, key)) in zip(columns, fields.items(), strict=True):
        with column:
            chosen[name] = st.multiselect(
                label,
                tables.choices(table, name),
                format_func=shots_value if name == "shots" else str,
                key=key,
                bind=state.QUERY,
                placeholder=words.NO_FILTER,
            )
    return RunFilter(*(tuple(values) for values in chosen.values()))


def run_list(shown: pd.DataFrame, known: Collection[str], more: Sequence[str]) -> list[str]:
    """Shows the table of runs and returns the names of the selected ones.

    Args:
        shown: the runs that pass the filters.
        known: names of all runs; selected runs that are not shown stay selected.
        more: the columns of `tables.MORE` that are shown.
    """
    picked = picked_names()
    names = shown["run"].tolist()
    # Streamlit stores the selection as row numbers. With other rows the table gets another key,
    # because the same numbers would mean other runs.
    rows = [row for row, name in enumerate(names) if name in picked]
    event = st.dataframe(
        shown,
        key=f"runs {hash(tuple(names))}",
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
        column_order=tables.shown_columns(shown, more),
        column_config=_columns(shown),
        height=460 if len(shown) > 12 else "content",
        placeholder="–",
    )
    chosen = [names[row] for row in event["selection"]["rows"] if row < len(names)]
    hidden = [name for name in picked if name in known and name not in names]
    _remember(chosen + hidden)
    return chosen


def more_columns() -> list[str]:
    """Shows which columns can be added, and returns the chosen ones."""
    with st.popover(words.COLUMNS, icon=":material/view_column:", type="tertiary"):
        return st.pills(
            words.MORE_COLUMNS,
            tables.MORE,
            selection_mode="multi",
            default=[tables.MORE[0]],
            format_func=words.COLUMN_NAMES.__getitem__,
            key=state.MORE_COLUMNS,
            bind=state.QUERY,
        )


def pick_runs(runs: Mapping[str, Run]) -> list[str]:
    """Shows a box in which runs are selected too, and returns the names of the selected ones."""
    known = [name for name in picked_names() if name in runs]
    gone = [name for name in picked_names() if name not in runs]
    st.session_state[state.PICKED_HERE] = known

    def write() -> None:
        _remember(st.session_state[state.PICKED_HERE] + gone)

    st.multiselect(
        words.SELECTED_RUNS,
        list(runs),
        key=state.PICKED_HERE,
        on_change=write,
        placeholder=words.SELECT_HERE,
    )
    return picked_names()


def picked_names() -> list[str]:
    """Returns the names of the selected runs, which are in the address."""
    return st.query_params.get_all(state.PICKED)


def _remember(names: list[str]) -> None:
    """Writes the selection into the address, so that a link restores it."""
    if names == picked_names():
        return
    if names:
        st.query_params[state.PICKED] = names
    elif state.PICKED in st.query_params:
        del st.query_params[state.PICKED]


def _columns(shown: pd.DataFrame) -> Mapping[str, ColumnConfig]:
    number = st.column_config.NumberColumn
    titles = {"error": "ECE", "all": words.ALL_CLASSES}
    percent = {
        name: number(
            f"{titles.get(name, name)}, %",
            format="%.1f",
            width=95 if name == "all" else 70,
            help=meaning,
        )
        for name, meaning in words.PERCENT_HELP.items()
    }
    text = st.column_config.TextColumn
    columns: dict[str, ColumnConfig] = percent | {
        "run": text("run", pinned=True),
        "state": text(width=80),
        "data": text(width=85),
        "method": text(width=95),
        "shots": number(words.PER_CLASS, width=75, help=words.SHOTS),
        "seed": number(width=55),
        "settings": text(words.OTHER_SETTINGS, help=words.OTHER_SETTINGS_HELP),
        "changed": st.column_config.DatetimeColumn(
            words.LAST_CHANGE, format="YYYY-MM-DD HH:mm", help=words.LAST_CHANGE_HELP
        ),
    }
    shots = tables.choices(shown, "shots")
    if ALL_SHOTS in shots:  # a number otherwise
        columns["shots"] = st.column_config.SelectboxColumn(
            words.PER_CLASS,
            options=shots,
            format_func=lambda value: shots_value(int(value)),
            width=75,
            help=words.SHOTS,
        )
    return columns


def means(runs: list[Run]) -> None:
    """Shows mean ± sample standard deviation over seeds by protocol, and files of the tables."""
    gathered = _gathered(tuple((str(run.path), stamp) for run, stamp in _stamps(runs).items()))
    _say_left_out(gathered)
    if not gathered.rows:
        st.info(words.NOTHING_TO_AVERAGE, icon=":material/functions:")
        return
    there = first_seen(row.protocol for row in gathered.rows)
    rows = (*gathered.untrained, *gathered.rows)
    parts = {name: mean_tables(rows, name) for name in PROTOCOLS if name in there}
    _files(rows, [table for several in parts.values() for table in several.all])
    for protocol, several in parts.items():
        st.header(words.PROTOCOLS[protocol])
        if protocol == "base-to-new":
            st.caption(words.HARMONIC)
        for table in (*several.by_data, several.average, several.published):
            if table is not None:
                st.markdown(to_markdown(table))
        if several.measures:
            with st.expander(words.BEYOND_ACCURACY):
                for table in several.measures:
                    st.markdown(to_markdown(table))


@st.cache_data(show_spinner=words.AVERAGING, max_entries=8)
def _gathered(stamped: tuple[tuple[str, float], ...]) -> Gathered:
    return gather([Run(Path(path)) for path, _ in stamped])


def _say_left_out(gathered: Gathered) -> None:
    for names, why in (
        (gathered.repeated, words.NEWER_RUN),
        (gathered.unreadable, words.NOT_READABLE),
    ):
        if names:
            st.caption(words.runs_left_out(names, why))


def _files(rows: Sequence[Row], everything: list[Table]) -> None:
    markdown = "\n".join(to_markdown(table) for table in everything)
    latex = "\n".join(to_latex(table) for table in everything)
    with st.container(horizontal=True):
        for label, name, text, kind in (
            (words.CSV_SEEDS, "results.csv", to_csv(rows), "text/csv"),
            (words.CSV_MEANS, "means.csv", means_csv(rows), "text/csv"),
            (words.LATEX, "results.tex", latex, "application/x-tex"),
            (words.MARKDOWN, "results.md", markdown, "text/markdown"),
        ):
            st.download_button(
                label, text, name, kind, icon=":material/download:", on_click="ignore"
            )


def curves(runs: dict[str, Run]) -> None:
    """Shows the trainings of the selected runs in the same figures."""
    if not runs:
        st.info(words.select_for_curves(MAX_CURVES), icon=":material/show_chart:")
        return
    shown = dict(list(runs.items())[:MAX_CURVES])
    if len(runs) > len(shown):
        st.caption(words.only_some(MAX_CURVES, len(runs)))
    without, lines = [], []
    for name, run in shown.items():
        try:
            why = tables.why_no_curve(run)
            if why is None:
                lines.append(Curve(name, run.setup().config.method, run.records()))
            else:
                without.append(words.no_curve(name, f"{why}."))
        except UserError as error:  # the run was deleted in the meantime
            without.append(words.no_curve(name, str(error)))
    if without:
        st.caption("  \n".join(without))
    figure = training_curves(lines)
    if not figure.data:
        st.info(words.NO_CURVES)
        return
    show_figure(figure, "training-curves", words.CURVES_ALT)
    records = [
        {"run": line.name, **{k: v for k, v in record.items() if not isinstance(v, dict | list)}}
        for line in lines
        for record in line.records
    ]
    csv_button(pd.DataFrame(records), "curves")


def open_picked(names: list[str], runs: dict[str, Run]) -> dict[str, Run]:
    """Returns the selected runs that can be read, and shows which cannot."""
    readable = {}
    for name in names:
        if name not in runs:
            st.warning(words.no_such_run(name))
            continue
        try:
            status = runs[name].status()
            if status.state in STOPPED and not runs[name].records():
                why = f"it is {status.state}. {status.message}"
                st.caption(without_directives(words.no_curve(name, why)))
                continue
            runs[name].setup()
            readable[name] = open_run(runs[name].path)
        except UserError as error:
            st.warning(escape_markdown(f"{name}: {error}"))
    return readable

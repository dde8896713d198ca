"""Downloads of reports and notebooks on the Compare page, and accuracies of selected runs."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.caches import run_list
from app.common.words import escape_markdown
from app.compare import words
from app.compare.tables import accuracy_rows
from app.ui.parts import show_table
from mocoop.errors import UserError
from mocoop.evaluation.side_by_side import SideBySide
from mocoop.report.facts import Facts, facts
from mocoop.report.html_page import page, paragraph
from mocoop.report.notebook import notebook_of
from mocoop.report.reports import comparison_report, run_report
from mocoop.runs.export_zip import archive_name
from mocoop.runs.run import Run

MOST = 12  # selected runs whose accuracies are shown
PERCENT = st.column_config.NumberColumn(format="%.1f %%")
COLUMNS = {
    "accuracy": PERCENT,
    "low": st.column_config.NumberColumn(words.FROM, format="%.1f"),
    "high": st.column_config.NumberColumn(words.TO, format="%.1f"),
    "gain": st.column_config.NumberColumn(words.OVER_ZERO_SHOT, format="%+.1f"),
}


def run_documents(run: Run, name: str) -> None:
    """Shows the buttons for a finished run's report and notebook.

    Args:
        run: a finished run.
        name: the run's name on the page.
    """
    stem = archive_name(run)
    st.download_button(
        words.REPORT,
        lambda: run_text(run, name),
        f"{stem}-report.html",
        "text/html",
        key="report-run",
        icon=":material/description:",
        on_click="ignore",
        help=words.REPORT_HELP,
    )
    st.download_button(
        words.NOTEBOOK,
        lambda: notebook_of(run),
        f"{stem}.ipynb",
        "application/x-ipynb+json",
        key="notebook-run",
        icon=":material/terminal:",
        on_click="ignore",
        help=words.NOTEBOOK_HELP,
    )


def report_button(
    runs: Mapping[str, Run], lined: SideBySide | None = None, key: str = "picked"
) -> None:
    """Shows the button for a report that compares runs; runs without results are named in it.

    Args:
        runs: name → run.
        lined: the answers to the same images, if they were compared.
        key: which of the page's buttons this is.
    """
    stamps = {name: _stamp(run) for name, run in runs.items()}
    st.download_button(
        words.REPORT,
        lambda: comparison_text(runs, lined, stamps),
        "comparison.html",
        "text/html",
        key=f"report-{key}",
        icon=":material/description:",
        on_click="ignore",
        help=words.REPORT_HELP,
    )


def run_text(run: Run, name: str) -> str:
    """Returns a run's report, or a page that says why there is none: it may be gone by now."""
    try:
        return run_report(facts(run, name))
    except UserError as error:
        return page(words.NO_REPORT, [paragraph(str(error))])


def comparison_text(
    runs: Mapping[str, Run], lined: SideBySide | None, stamps: Mapping[str, float | None]
) -> str:
    """Returns the report of a comparison, or a page that says why there is none.

    Runs may be deleted or trained again between the moment when the page was drawn and the
    moment when the report is asked for. Answers of older trainings are then left out.

    Args:
        runs: name → run.
        lined: the answers to the same images, if they were compared.
        stamps: name → the run's stamp when they were compared.
    """
    known, notes = _facts(runs)
    changed = [name for name, run in runs.items() if _stamp(run) != stamps[name]]
    if lined is not None and changed:
        lined = None
        notes.append(words.changed(changed))
    if not known:
        return page(words.NO_REPORT, [paragraph(note) for note in notes])
    return comparison_report(known, lined, notes)


def _stamp(run: Run) -> float | None:
    """Returns the run's stamp; None for a run that was deleted."""
    try:
        return run_list.stamp_of(run)
    except UserError:
        return None


def accuracies(runs: Mapping[str, Run]) -> None:
    """Shows the accuracies of selected runs with intervals, and zero-shot once per test set."""
    if not runs:
        return
    known, notes = _facts(dict(list(runs.items())[:MOST]))
    table = accuracy_rows(known, words.ZERO_SHOT)
    if table.empty:
        st.caption(words.NO_ACCURACY)
    else:
        st.markdown(words.ACCURACIES, help=words.ACCURACIES_HELP)
        show_table(table, "selected-accuracies", column_config=COLUMNS, placeholder="–")
    if len(runs) > MOST:
        st.caption(words.only_some(MOST, len(runs)))
    for note in notes:
        st.caption(escape_markdown(note))


def _facts(runs: Mapping[str, Run]) -> tuple[dict[str, Facts], list[str]]:
    """Returns what the files of runs say, and why some say nothing: they may be gone by now."""
    known: dict[str, Facts] = {}
    notes = []
    for name, run in runs.items():
        try:
            known[name] = facts(run, name)
        except UserError as error:
            notes.append(words.left_out(name, str(error)))
    return known, notes

"""The Compare page: a table of all runs, means beside published numbers, curves, files."""

from __future__ import annotations

import streamlit as st

from app.common import state
from app.compare import beside_view, documents, run_files, view
from app.compare.tables import select_runs
from app.ui.entry import inside_the_app
from app.ui.parts import csv_button, errors_in_words


def page() -> None:
    runs = view.all_runs()
    if not runs:
        st.info("There is no run yet. Train one, or import one from another machine.")
        st.page_link("pages/train.py", label="Train a run", icon=":material/model_training:")
        run_files.import_panel()
        return
    table = view.table_of(runs)
    shown = select_runs(table, view.pick_filter(table))
    tabs = dict(
        zip(view.TABS, st.tabs(view.TABS, key=state.COMPARE_VIEW, bind=state.QUERY), strict=True)
    )
    if tabs[view.RUNS].open:
        with tabs[view.RUNS]:
            st.caption(f"{len(shown)} of {len(table)} runs, last changed first.")
            picked = view.run_list(shown, runs)
            csv_button(shown, "runs")
            chosen = {name: runs[name] for name in picked if name in runs}
            run_files.actions(chosen)
            documents.accuracies(chosen)
            run_files.import_panel()
    if tabs[view.MEANS].open:
        with tabs[view.MEANS]:
            view.means([runs[name] for name in shown["run"] if name in runs])
    if tabs[view.BESIDE].open:
        with tabs[view.BESIDE]:
            beside_view.beside(view.picked_names(), runs)
    if tabs[view.CURVES].open:
        with tabs[view.CURVES]:
            view.curves(view.open_picked(view.picked_names(), runs))


inside_the_app()
st.title("Compare")
st.caption(
    "All runs on this machine. Means are over the seeds of runs whose other settings are the same."
)
with errors_in_words():
    page()

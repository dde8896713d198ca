"""The Compare page: a table of all runs, means beside published numbers, curves, files."""

from __future__ import annotations

import streamlit as st

from app.common import state
from app.common.words import BESIDE
from app.compare import beside_view, documents, prompt_files, run_files, sweeps_view, view, words
from app.compare.tables import select_runs
from app.ui.entry import inside_the_app
from app.ui.glossary import words_on_this_page
from app.ui.messages import errors_in_words
from app.ui.parts import csv_button


def page() -> None:
    sweeps_view.sweeps_panel()
    runs = view.all_runs()
    if not runs:
        st.info(words.NO_RUN)
        st.page_link("pages/train.py", label=words.TRAIN_A_RUN, icon=":material/model_training:")
        run_files.import_panel()
        prompt_files.import_panel()
        return
    table = view.table_of(runs)
    shown = select_runs(table, view.pick_filter(table))
    tabs = dict(
        zip(view.TABS, st.tabs(view.TABS, key=state.COMPARE_VIEW, bind=state.QUERY), strict=True)
    )
    if tabs[words.RUNS].open:
        with tabs[words.RUNS]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(words.listed(len(shown), len(table)), width="content")
                more = view.more_columns()
            picked = view.run_list(shown, runs, more)
            csv_button(shown, "runs")
            chosen = {name: runs[name] for name in picked if name in runs}
            run_files.actions(chosen)
            documents.accuracies(chosen)
            run_files.import_panel()
            prompt_files.import_panel()
    if tabs[words.MEANS].open:
        with tabs[words.MEANS]:
            view.means([runs[name] for name in shown["run"] if name in runs])
    if tabs[BESIDE].open:
        with tabs[BESIDE]:
            beside_view.beside(view.pick_runs(runs), runs)
    if tabs[words.CURVES].open:
        with tabs[words.CURVES]:
            view.curves(view.open_picked(view.pick_runs(runs), runs))


inside_the_app()
st.title(words.TITLE)
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(words.CAPTION, width="content")
    words_on_this_page(*words.TERMS)
with errors_in_words():
    page()

"""The widget to choose a run, and the run that all pages show."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from app.caches import run_list
from app.common import access, state
from app.ui import words
from mocoop.errors import UserError
from mocoop.runs.run import Run


def pick_run(what_for: str) -> Run:
    """Returns the chosen finished run; if there is none, says what to do and stops the page.

    Args:
        what_for: what the page would show, for the message that there is no run.
    """
    runs = {run.name: run for run in run_list.finished_runs()}
    if not runs and access.read_only():
        st.info(words.no_run_to_look_at(what_for))
        st.stop()
    if not runs:
        st.info(words.no_run(what_for))
        st.page_link("pages/train.py", label=words.TRAIN_A_RUN, icon=":material/model_training:")
        st.stop()
    asked = st.query_params.get(state.RUN)
    if asked is not None and asked not in runs:
        newer = asked in run_list.newer_runs()
        st.warning(words.newer_run(asked) if newer else words.other_run(asked))
    asked = run_to_show(runs, first_choice)
    # The code below keeps the address up to date; Streamlit's `bind` would write the label there.
    st.session_state[state.RUN] = asked

    def write() -> None:
        choose_run(st.session_state[state.RUN])

    st.selectbox(
        words.RUN,
        list(runs),
        format_func=run_list.labels_of(runs).__getitem__,
        key=state.RUN,
        on_change=write,
        width=760,
        label_visibility="collapsed",
    )
    return runs[asked]


def run_to_show(runs: dict[str, Run], default: Callable[[dict[str, Run]], str]) -> str:
    """Returns the name of the run to show, and writes it into the address.

    It is the run of the address; without one, the run that was chosen last in this browser tab,
    on whatever page; else the page's default.

    Args:
        runs: the finished runs by name.
        default: returns the name of the run that the page shows by itself.
    """
    memory, asked = st.session_state, st.query_params.get(state.RUN)
    if asked in runs:
        if asked != memory.get(state.RUN_OF_PAGE):
            choose_run(asked)
        return asked
    kept = memory.get(state.KEPT_RUN)
    if kept in runs:
        choose_run(kept)
        return str(kept)
    name = default(runs)
    memory[state.RUN_OF_PAGE] = st.query_params[state.RUN] = name
    return name


def choose_run(name: str) -> None:
    """Keeps a run as the one that all pages show in this browser tab; the address names it too."""
    st.session_state[state.KEPT_RUN] = st.query_params[state.RUN] = name
    st.session_state.pop(state.RUN_OF_PAGE, None)


def forget_run() -> None:
    """Lets the pages choose a run by themselves again, because a new one is on its way."""
    st.session_state.pop(state.KEPT_RUN, None)


def first_choice(runs: dict[str, Run]) -> str:
    """Returns the newest run with several experts, or else the newest run."""
    for name, run in runs.items():
        with suppress(UserError):  # the page reports a damaged run when the user chooses it
            if len(run_list.setup_of(run).experts) > 1:
                return name
    return next(iter(runs))

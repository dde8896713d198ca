"""The animation of the Overfitting lab: accuracy, calibration and drift, epoch by epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.common import state
from app.lab import experiment_words, figures, tables, words
from app.lab.findings import SAME
from app.lab.view import LabTrainings
from app.ui import layout
from app.ui.messages import errors_in_words
from app.ui.parts import show_figure, show_table
from mocoop.protocols.lab import LASP, LabSettings

TICK_SECONDS = 0.35
TICKS = 40  # steps of the animation from start to end
MAX_TICKS = 4  # most steps at once after a delay


def player(lab: LabTrainings, chosen: Sequence[LabSettings]) -> None:
    """Shows accuracy, calibration and drift after an epoch, and an animation over the epochs."""
    last = min(run.epochs for several in lab.runs.values() for run in several)
    last = min(last, chosen[0].epochs)
    seeds = tuple(settings.seed for settings in chosen)
    table = tables.epoch_table(lab.runs)
    playing = bool(st.session_state.get(state.LAB_PLAYING))
    st.fragment(_player, run_every=TICK_SECONDS if playing else None)(
        lab, table[table["epoch"] <= last], last, playing, seeds
    )


@errors_in_words()
def _player(
    lab: LabTrainings, table: pd.DataFrame, last: int, ticking: bool, seeds: tuple[int, ...]
) -> None:
    epoch = _pick_epoch(last, ticking)
    start = tables.zero_shot(table)
    figure = figures.accuracy_lines(table, epoch, last, start)
    show_figure(figure, "accuracy-by-epoch", table=table)
    if any(len(several) > 1 for several in lab.seeds.values()):
        st.caption(words.BAND)
    off = tables.gone_off(lab.runs, lab.seeds, epoch)
    if off:
        st.warning(words.diverged(off), icon=":material/trending_down:")
    if start:
        gains = tables.against_zero_shot(table, epoch)
        st.markdown(words.against_zero_shot(gains, SAME, off))
    st.markdown(words.after_epochs(epoch, seeds))
    columns = {
        name: st.column_config.NumberColumn(label, format="%.1f", help=meaning)
        for name, (label, meaning) in experiment_words.NUMBERS.items()
    }
    columns["drift new"] = st.column_config.NumberColumn(
        experiment_words.DRIFT, format="%.3f", help=experiment_words.DRIFT_HELP
    )
    shown = tables.table_at(table, epoch)
    show_table(shown, f"lab-epoch-{epoch}", column_config=columns, placeholder="–")
    left, right = layout.wrapping_columns([3, 2], "calibration")
    with left:
        st.markdown(experiment_words.RELIABILITY)
        frame = tables.reliability_frame(lab.runs, epoch)
        show_figure(figures.reliability_lines(frame), "reliability")
    with right:
        st.markdown(experiment_words.DRIFT_AND_ACCURACY)
        show_figure(figures.drift_paths(table, epoch), "drift-and-new-classes")
        st.caption(experiment_words.DRIFT_WITHIN)
        if LASP in lab.runs:
            st.caption(experiment_words.DRIFT_OF_LASP)
    # This comes last, because the slider must receive its value before the run ends.
    if bool(st.session_state.get(state.LAB_PLAYING)) != ticking:
        st.rerun()  # runs the whole page again, then with or without the timer


def _pick_epoch(last: int, ticking: bool) -> int:
    """Returns the epoch to show: from the slider, a button, or the animation's next step.

    The slider's value is set by code only when a button or the animation moves it. Otherwise the
    server would send the whole address again, as it was when the run began, and undo what other
    sliders have written into it since.
    """
    memory = st.session_state
    if memory.get(state.LAB_EPOCH, last) > last:  # of a longer training that was shown before
        memory[state.LAB_EPOCH] = last
    playing = bool(memory.get(state.LAB_PLAYING))
    now = _next_step(last, ticking) if playing else _chosen(last)
    if playing and now == last:
        playing = memory[state.LAB_PLAYING] = False
        memory[state.LAB_EPOCH] = last

    def move(epoch: int, play: bool = False) -> None:
        memory[state.LAB_SHOWN if play else state.LAB_EPOCH] = epoch
        memory[state.LAB_PLAYING] = play
        memory.pop(state.LAB_TICKED, None)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if playing:
            st.button(experiment_words.PAUSE, icon=":material/pause:", on_click=move, args=(now,))
        else:
            again = 0 if now >= last else now
            st.button(
                experiment_words.PLAY,
                icon=":material/play_arrow:",
                type="primary",
                on_click=move,
                args=(again, True),
            )
        st.button(
            experiment_words.STEP,
            icon=":material/skip_next:",
            on_click=move,
            args=(min(now + 1, last),),
            disabled=now >= last,
        )
        st.button(
            experiment_words.TO_THE_START, icon=":material/first_page:", on_click=move, args=(0,)
        )
        if playing:
            # A slider of its own, which cannot be moved. The browser sends back an earlier epoch
            # of it if it is late, so nothing is read from it.
            memory[state.LAB_SHOWN] = memory[state.LAB_SLIDER] = now
            st.slider(experiment_words.EPOCHS, 0, last, key=state.LAB_SLIDER, disabled=True)
            return now
        return int(
            st.slider(
                experiment_words.EPOCHS,
                0,
                last,
                last,
                key=state.LAB_EPOCH,
                bind=state.QUERY,
                help=experiment_words.EPOCHS_HELP,
            )
        )


def _chosen(last: int) -> int:
    """Returns the slider's epoch, also before the slider has read it from the address."""
    text = st.query_params.get(state.LAB_EPOCH, "")
    linked = int(text) if text.isdecimal() and len(text) < 10 else last
    return min(int(st.session_state.get(state.LAB_EPOCH, linked)), last)


def _next_step(last: int, ticking: bool) -> int:
    """Returns the epoch that the animation shows now; each tick of the clock moves it on."""
    memory = st.session_state
    now = min(int(memory.get(state.LAB_SHOWN, 0)), last)
    if not ticking:
        return now
    clock = time.monotonic()
    # On a busy machine the timer is late. Larger steps then keep the animation's length.
    ticks = round((clock - memory.get(state.LAB_TICKED, clock)) / TICK_SECONDS)
    memory[state.LAB_TICKED] = clock
    return min(last, now + min(MAX_TICKS, max(1, ticks)) * max(1, last // TICKS))

"""The lessons of the Overfitting lab: the user predicts first, then sees the result."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.common import state
from app.lab import figures, tables
from app.lab.findings import (
    ALBUMS,
    DETAILS,
    HALVES,
    SHOTS,
    WEIGHT,
    by_weight,
    drifts_of_lasp,
    router_conditions,
    ways,
)
from app.lab.lessons import LESSONS, Lesson
from app.lab.tabs import EXPERIMENT
from app.lab.view import ONLY_FOR_LOOKING, grid
from app.ui import layout
from app.ui.parts import show_figure, show_table
from mocoop.methods import METHODS
from mocoop.protocols.lab import METHODS as LAB_METHODS
from mocoop.protocols.lab import MOCOOP, OWN_RATE

HOW = (
    f"The trainings of the lessons have the methods' own learning rate of {OWN_RATE:g}, which was "
    "chosen on validation images; it is constant, without warm-up or decay."
)


def lessons() -> None:
    """Shows the chosen lesson: story, question, and after an answer the result.

    Raises:
        UserError: if the grid cannot be read.
    """
    finals = _finals()
    titles = {lesson.key: f"{number}. {lesson.title}" for number, lesson in enumerate(LESSONS, 1)}
    chosen = st.segmented_control(
        "Lesson",
        list(titles),
        default=LESSONS[0].key,
        required=True,
        format_func=titles.__getitem__,
        key=state.LESSON,
        bind=state.QUERY,
        label_visibility="collapsed",
    )
    index = list(titles).index(chosen or LESSONS[0].key)
    lesson = LESSONS[index]
    _lesson(lesson, finals)
    if not _revealed(lesson):
        return
    if index + 1 < len(LESSONS):
        following = LESSONS[index + 1]
        st.button(
            f"Next: {following.title}",
            icon=":material/arrow_forward:",
            on_click=_go_to,
            args=(state.LESSON, following.key),
        )
    else:
        _end(finals)


@st.cache_data(show_spinner=False, max_entries=1)
def _finals() -> pd.DataFrame:
    return tables.final_table(grid())


def _lesson(lesson: Lesson, finals: pd.DataFrame) -> None:
    st.subheader(lesson.title)
    st.markdown(lesson.story)
    with st.container(border=True):
        st.markdown(f"**Predict:** {lesson.question}")
        answer = st.radio(
            "Your prediction",
            range(len(lesson.choices)),
            format_func=lesson.choices.__getitem__,
            index=None,
            key=_answer(lesson),
            bind=state.QUERY,
            label_visibility="collapsed",
        )
        if not _revealed(lesson):
            pressed = st.button(
                "Show what happened", type="primary", disabled=answer is None, key="reveal"
            )
            if answer is None:
                st.caption("Choose first: you remember a result better if you predicted it.")
            if not pressed:
                return
            st.session_state.setdefault(state.PREDICTED, {})[lesson.key] = answer
            st.query_params[state.REVEALED] = [*_revealed_keys(), lesson.key]
            st.rerun()
    _verdict(lesson, finals, answer)
    table, percents = _SHOWN[lesson.key](finals)
    st.info(lesson.takeaway(finals), icon=":material/lightbulb:")
    with st.expander("The numbers", icon=":material/table_rows:"):
        rounded = {name: st.column_config.NumberColumn(format="%.1f") for name in percents}
        show_table(_named(table), f"lesson-{lesson.key}", column_config=rounded)
    st.caption(f"{HOW} {ONLY_FOR_LOOKING}")


def _end(finals: pd.DataFrame) -> None:
    """Shows how many predictions were right, and a button that leads to the experiment."""
    given = st.session_state.get(state.PREDICTED, {})
    answered = [(lesson, given[lesson.key]) for lesson in LESSONS if lesson.key in given]
    right = sum(lesson.answer(finals) == choice for lesson, choice in answered)
    if answered:
        score = f"{right} of {len(answered)}"
        st.markdown(f"**That was the last lesson.** Correct predictions: {score}.")
    st.button(
        "Watch them learn",
        icon=":material/science:",
        on_click=_go_to,
        args=(state.LAB_TAB, EXPERIMENT),
    )


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table with the methods' labels instead of their keys."""
    if "method" not in table:
        return table
    return table.assign(method=[METHODS[method].label for method in table["method"]])


def _verdict(lesson: Lesson, finals: pd.DataFrame, answer: int | None) -> None:
    right = lesson.answer(finals)
    was = lesson.choices[right]
    if answer is None:
        st.markdown(f"**What happened:** {was}.")
    elif answer == right:
        st.success(f"As you predicted: {_small(was)}.", icon=":material/check:")
    else:
        guess = lesson.choices[answer]
        st.warning(
            f"You predicted: {_small(guess)}. It was: {_small(was)}.", icon=":material/close:"
        )
    st.markdown(lesson.reveal(finals))


def _small(choice: str) -> str:
    """Returns a choice with a small first letter, as part of a sentence."""
    return f"{choice[0].lower()}{choice[1:]}"


Numbers = tuple[pd.DataFrame, tuple[str, ...]]
"""A lesson's table, and the names of its columns that are in percent or points."""


def _show_overfitting(finals: pd.DataFrame) -> Numbers:
    curves = tables.mean_curves(grid(), HALVES, SHOTS, WEIGHT, OWN_RATE)
    st.markdown(
        f"**Change since the start of training** on *{HALVES}*, {SHOTS} images per class, text "
        f"weight {WEIGHT:g}; the band is ± one sample standard deviation (n − 1) over seeds"
    )
    show_figure(figures.change_lines(curves, LAB_METHODS), "change-by-epoch")
    return curves, ("mean", "std")


def _show_supervision(finals: pd.DataFrame) -> Numbers:
    means = by_weight(finals)
    left, right = layout.wrapping_columns([3, 2], "lesson")
    with left:
        st.markdown(f"**Accuracy by weight** on *{HALVES}*, mean over seeds, {SHOTS} per class")
        show_figure(figures.weight_lines(means), "accuracy-by-weight")
    with right:
        st.markdown(f"**Every training of LASP on *{HALVES}***: drift and change on new classes")
        titles = ("drift: 1 − cosine to the hard prompts", "points gained or lost")
        drifts = drifts_of_lasp(finals)
        figure = figures.scatter(drifts, "drift", "change", titles, "weight")
        show_figure(figure, "drift-and-change")
    return means, ("before", "after")


def _show_router(finals: pd.DataFrame) -> Numbers:
    st.markdown(f"**Ways to use the experts**, {SHOTS} per class, text weight {WEIGHT:g}")
    sides = layout.wrapping_columns([1, 1], "revealed")
    for data, side in zip((ALBUMS, DETAILS), sides, strict=True):
        accuracies = ways(finals, data)
        with side:
            st.markdown(f"*{data}*")
            show_figure(figures.way_bars(accuracies, next(iter(accuracies))), f"ways-on-{data}")
    st.markdown("**Every training and half**: possible gain and actual gain of the router")
    rows = finals[(finals["method"] == MOCOOP) & (finals["rate"] == OWN_RATE)]
    titles = ("perfect choice − random expert, points", "router − better way without it, points")
    show_figure(figures.scatter(rows, "headroom", "gain", titles, "data"), "gain-of-routing")
    return router_conditions(finals), ("gain", "headroom")


_SHOWN = {"prompts": _show_overfitting, "text": _show_supervision, "router": _show_router}


def _answer(lesson: Lesson) -> str:
    return f"{state.ANSWER}_{lesson.key}"


def _revealed_keys() -> list[str]:
    return st.query_params.get_all(state.REVEALED)


def _revealed(lesson: Lesson) -> bool:
    return lesson.key in _revealed_keys()


def _go_to(key: str, value: str) -> None:
    st.session_state[key] = value

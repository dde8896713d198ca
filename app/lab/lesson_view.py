"""The lessons of the Overfitting lab: the user predicts first, then sees the result."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.common import state
from app.lab import figures, tables
from app.lab.findings import SHOTS, WEIGHT, by_weight, router_conditions, ways
from app.lab.lessons import LESSONS, Lesson
from app.lab.view import ONLY_FOR_LOOKING, grid
from app.ui import layout
from app.ui.parts import show_figure, show_table
from mocoop.methods import METHODS
from mocoop.protocols.lab import LEARNING_RATE, MOCOOP
from mocoop.protocols.lab import METHODS as LAB_METHODS

EXPERIMENT, LESSON_TAB = "Watch them learn", "Three lessons"
"""The page's tabs."""
HOW = (
    f"all methods use a constant learning rate of {LEARNING_RATE:g} without warm-up or decay. "
    "With the recipes that were chosen on validation images the effects are small (see "
    "RESULTS.md)"
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
    st.caption(
        f"All numbers are from the lab's trainings, which overfit on purpose: {HOW}. "
        f"{ONLY_FOR_LOOKING}"
    )


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
    curves = tables.mean_curves(grid(), SHOTS, WEIGHT)
    st.markdown(
        f"**Change since the start of training**, mean over data sets, {SHOTS} images per class, "
        f"text weight {WEIGHT:g}; the band is ± one sample standard deviation (n − 1) over seeds"
    )
    show_figure(figures.change_lines(curves, LAB_METHODS), "change-by-epoch")
    return curves, ("mean", "std")


def _show_supervision(finals: pd.DataFrame) -> Numbers:
    means = by_weight(finals)
    left, right = layout.wrapping_columns([3, 2], "lesson")
    with left:
        st.markdown(f"**Accuracy by weight**, mean over data sets and seeds, {SHOTS} per class")
        show_figure(figures.weight_lines(means), "accuracy-by-weight")
    with right:
        st.markdown("**Every training**: drift and change on new classes")
        new = finals[finals["half"] == "new"]
        new = new.assign(change=new["after"] - new["before"])
        titles = ("drift: 1 − cosine to the hard prompts", "points gained or lost")
        show_figure(figures.scatter(new, "drift", "change", titles), "drift-and-change")
    return means, ("before", "after")


def _show_router(finals: pd.DataFrame) -> Numbers:
    accuracies = ways(finals)
    left, right = layout.wrapping_columns([1, 1], "revealed")
    with left:
        st.markdown(f"**Ways to use the experts**, {SHOTS} per class, text weight {WEIGHT:g}")
        show_figure(figures.way_bars(accuracies, next(iter(accuracies))), "ways-to-choose")
    with right:
        st.markdown("**Every training and half**: possible gain and actual gain of the router")
        rows = finals[finals["method"] == MOCOOP]
        titles = ("perfect choice − random expert, points", "router − all equally, points")
        show_figure(figures.scatter(rows, "headroom", "gain", titles, "weight"), "gain-of-routing")
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

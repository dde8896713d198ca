"""The lessons of the Overfitting lab: the user predicts first, then sees the result."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from app.common import state
from app.lab import tables, words
from app.lab.experiment_words import ONLY_FOR_LOOKING
from app.lab.findings import DETAILS, HALVES, SINGLE, by_weight, coop_changes, router_conditions
from app.lab.handout import handout
from app.lab.lesson import Lesson, robustness
from app.lab.lesson_figures import figures_of, lesson_curves
from app.lab.lessons import LESSONS
from app.lab.tabs import EXPERIMENT
from app.lab.view import grid
from app.ui import layout
from app.ui.parts import show_figure, show_table
from mocoop.methods import METHODS
from mocoop.protocols.lab import OWN_RATE


def lessons() -> None:
    """Shows the chosen lesson: story, question, and after an answer the result.

    Raises:
        UserError: if the grid cannot be read.
    """
    finals = _finals()
    titles = {lesson.key: f"{number}. {lesson.title}" for number, lesson in enumerate(LESSONS, 1)}
    chosen = st.segmented_control(
        words.LESSON,
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
    st.download_button(
        words.HANDOUT,
        lambda: _printed(lesson, finals, index + 1),
        f"lesson-{index + 1}-{lesson.key}.html",
        "text/html",
        icon=":material/print:",
        type="tertiary",
        help=words.HANDOUT_HELP,
        on_click="ignore",
    )
    if not _revealed(lesson):
        return
    if index + 1 < len(LESSONS):
        following = LESSONS[index + 1]
        st.button(
            words.next_lesson(following.title),
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
    st.header(lesson.title)
    st.markdown(lesson.story)
    with st.container(border=True):
        st.markdown(words.predict(lesson.question))
        answer = st.radio(
            words.PRINTED_QUESTION,
            range(len(lesson.choices)),
            format_func=lesson.choices.__getitem__,
            index=None,
            key=_answer(lesson),
            bind=state.QUERY,
            label_visibility="collapsed",
        )
        if not _revealed(lesson):
            pressed = st.button(words.SHOW, type="primary", disabled=answer is None, key="reveal")
            if answer is None:
                st.caption(words.PREDICT_FIRST)
            if not pressed:
                return
            st.session_state.setdefault(state.PREDICTED, {})[lesson.key] = answer
            st.query_params[state.REVEALED] = [*_revealed_keys(), lesson.key]
            st.rerun()
    _verdict(lesson, finals, answer)
    _show_figures(lesson, finals)
    table, percents = _numbers(lesson, finals)
    st.info(lesson.takeaway(finals), icon=":material/lightbulb:")
    st.markdown(robustness(lesson, finals))
    with st.expander(words.NUMBERS, icon=":material/table_rows:"):
        rounded = {name: st.column_config.NumberColumn(format="%.1f") for name in percents}
        show_table(_named(table), f"lesson-{lesson.key}", column_config=rounded)
    st.caption(f"{words.how_trained(OWN_RATE)} {ONLY_FOR_LOOKING}")


def _printed(lesson: Lesson, finals: pd.DataFrame, number: int) -> str:
    return handout(
        lesson, finals, number, figures_of(lesson.key, grid(), finals), words.how_trained(OWN_RATE)
    )


def _end(finals: pd.DataFrame) -> None:
    """Shows how many predictions were right, and a button that leads to the experiment."""
    given = st.session_state.get(state.PREDICTED, {})
    answered = [(lesson, given[lesson.key]) for lesson in LESSONS if lesson.key in given]
    right = sum(lesson.answer(finals) == choice for lesson, choice in answered)
    if answered:
        st.markdown(words.score(right, len(answered)))
    st.button(
        EXPERIMENT,
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
        st.markdown(words.what_happened(was))
    elif answer == right:
        st.success(words.as_predicted(_small(was)), icon=":material/check:")
    else:
        guess = lesson.choices[answer]
        st.warning(words.other_than_predicted(_small(guess), _small(was)), icon=":material/close:")
    st.markdown(lesson.reveal(finals))


def _small(choice: str) -> str:
    """Returns a choice with a small first letter, as part of a sentence."""
    return f"{choice[0].lower()}{choice[1:]}"


Numbers = tuple[pd.DataFrame, tuple[str, ...]]
"""A lesson's table, and the names of its columns that are in percent or points."""


def _numbers(lesson: Lesson, finals: pd.DataFrame) -> Numbers:
    """Returns the numbers behind a lesson's figures."""
    made: dict[str, Callable[[], Numbers]] = {
        "prompts": lambda: (lesson_curves(grid()), ("mean", "std")),
        "text": lambda: (by_weight(finals), ("before", "after")),
        "router": lambda: (router_conditions(finals), ("gain", "headroom")),
        "control": lambda: (coop_changes(finals, (SINGLE, HALVES, DETAILS)), ("change",)),
    }
    return made[lesson.key]()


def _show_figures(lesson: Lesson, finals: pd.DataFrame) -> None:
    """Shows a lesson's figures: the first two of several side by side."""
    made = list(figures_of(lesson.key, grid(), finals).items())
    beside = layout.wrapping_columns([1, 1], "lesson") if len(made) > 1 else [st.container()]
    places = [*beside, *(st.container() for _ in made[len(beside) :])]
    for place, (name, (caption, figure)) in zip(places, made, strict=True):
        with place:
            st.markdown(caption)
            show_figure(figure, name)


def _answer(lesson: Lesson) -> str:
    return f"{state.ANSWER}_{lesson.key}"


def _revealed_keys() -> list[str]:
    return st.query_params.get_all(state.REVEALED)


def _revealed(lesson: Lesson) -> bool:
    return lesson.key in _revealed_keys()


def _go_to(key: str, value: str) -> None:
    st.session_state[key] = value

"""The lessons of the Overfitting lab: the user predicts first, then sees the result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from app.common import state
from app.lab import answers, tables, words
from app.lab.examples import ON_PAPER, examples, examples_of
from app.lab.experiment_words import ONLY_FOR_LOOKING, OVERFIT_ON_TRAIN
from app.lab.findings import (
    DETAILS,
    HALVES,
    SINGLE,
    WEIGHT,
    by_weight,
    coop_changes,
    router_conditions,
)
from app.lab.handout import handout
from app.lab.lesson import Lesson, robustness
from app.lab.lesson_figures import figures_of, lesson_numbers
from app.lab.lessons import LESSONS
from app.lab.sliders import own_weights
from app.lab.tabs import EXPERIMENT
from app.lab.terms_words import COLUMNS, terms
from app.lab.view import grid
from app.ui import layout
from app.ui.parts import show_figure, show_table
from app.ui.pictures import bright_png
from mocoop.methods import METHODS
from mocoop.protocols.lab import OWN_RATE

FEW_IMAGES = 2
"""Images per class with which training images are memorised."""


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
    answers.forget_links_of_before()
    _lesson(lesson, finals)
    with st.container(horizontal=True, vertical_alignment="center"):
        revealed = answers.is_revealed(lesson)
        if revealed:
            _next(index, finals)
            _story(lesson)
        with st.popover(words.TERMS, icon=":material/dictionary:", type="tertiary"):
            st.markdown(terms(lesson.terms))
        if revealed:
            _numbers_and_again(lesson, finals)
        with st.popover(words.HANDOUTS, icon=":material/print:", type="tertiary"):
            _handouts(lesson, finals, index + 1)


def _next(index: int, finals: pd.DataFrame) -> None:
    """Shows the button to the next lesson; after the last one the score and the experiment."""
    if index + 1 == len(LESSONS):
        _end(finals)
        return
    following = LESSONS[index + 1]
    st.button(
        words.next_lesson(following.title),
        icon=":material/arrow_forward:",
        on_click=_go_to,
        args=(state.LESSON, following.key),
    )


def _handouts(lesson: Lesson, finals: pd.DataFrame, number: int) -> None:
    for name, suffix, solved in (
        (words.HANDOUT, "", False),
        (words.HANDOUT_SOLVED, "-with-solution", True),
    ):
        st.download_button(
            name,
            partial(_printed, lesson, finals, number, solved),
            f"lesson-{number}-{lesson.key}{suffix}.html",
            "text/html",
            icon=":material/print:",
            type="tertiary",
            help=words.HANDOUT_HELP,
            on_click="ignore",
        )


@st.cache_data(show_spinner=False, max_entries=1)
def _finals() -> pd.DataFrame:
    return tables.final_table(grid())


def _lesson(lesson: Lesson, finals: pd.DataFrame) -> None:
    """Shows story and question, or else the answer, so that each fits on one screen."""
    st.header(lesson.title)
    if not answers.is_revealed(lesson):
        asked, seen = layout.wrapping_columns([1, 1], "story")
        with asked:
            st.markdown(lesson.story)
            _question(lesson)
        with seen:
            examples(lesson.data)
        return
    told, shown = layout.wrapping_columns([1, 1], "lesson")
    with told:
        _verdict(lesson, finals, answers.chosen(lesson))
        st.info(lesson.takeaway(finals), icon=":material/lightbulb:")
    with shown:
        _show_figures(lesson, finals)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(robustness(lesson, finals), width="content")
        if lesson.key == LESSONS[0].key:
            _classic_gap()


def _question(lesson: Lesson) -> None:
    """Shows the question, its choices, and the button that reveals or hides the answer."""
    with st.container(border=True):
        st.markdown(words.predict(lesson.question))
        answer = _choice(lesson)
        if answers.is_revealed(lesson):
            return
        st.button(
            words.SHOW,
            type="primary",
            disabled=answer is None,
            key="reveal",
            on_click=answers.reveal,
            args=(lesson,),
        )
        if answer is None:
            st.caption(words.PREDICT_FIRST)


def _story(lesson: Lesson) -> None:
    """Shows a button that opens the story and the question again."""
    with st.popover(words.STORY, icon=":material/menu_book:", type="tertiary"):
        st.markdown(lesson.story)
        _question(lesson)
        examples(lesson.data)


def _numbers_and_again(lesson: Lesson, finals: pd.DataFrame) -> None:
    """Shows a button that opens the numbers, and one that hides the answer."""
    with st.popover(words.NUMBERS, icon=":material/table_rows:", type="tertiary"):
        table = _numbers(lesson, finals)
        shown = table.rename(columns={name: title for name, (title, *_) in COLUMNS.items()})
        config = {
            title: st.column_config.NumberColumn(format=format_, help=meaning)
            for title, meaning, format_ in COLUMNS.values()
            if format_
        }
        show_table(
            _named(shown),
            f"lesson-{lesson.key}",
            column_config=config,
            placeholder=words.NO_NUMBER,
        )
        note = words.how_trained(OWN_RATE, WEIGHT, own_weights())
        st.caption(f"{note} {ONLY_FOR_LOOKING}")
    st.button(
        words.TRY_AGAIN,
        icon=":material/replay:",
        type="tertiary",
        help=words.TRY_AGAIN_HELP,
        on_click=answers.try_again,
        args=(lesson,),
    )


def _choice(lesson: Lesson) -> int | None:
    """Shows the choices and returns the marked one; after the answer it cannot be changed."""
    key = f"{state.ANSWER}_{lesson.key}_{answers.tries(lesson)}"
    revealed = answers.is_revealed(lesson)
    # A lesson that was left loses its buttons, but not the choice.
    st.session_state.setdefault(key, answers.chosen(lesson))
    choice = st.radio(
        words.PRINTED_QUESTION,
        range(len(lesson.choices)),
        format_func=lesson.choices.__getitem__,
        index=None,
        key=key,
        disabled=revealed,
        label_visibility="collapsed",
    )
    if not revealed:
        answers.choose(lesson, choice)
    return answers.chosen(lesson)


def _classic_gap() -> None:
    """Shows where training images are memorised: the lab with two images, and Train."""
    st.button(
        words.few_images(FEW_IMAGES),
        icon=":material/science:",
        type="tertiary",
        on_click=_to_few_images,
    )
    st.page_link("pages/train.py", label=OVERFIT_ON_TRAIN, icon=":material/model_training:")


def _to_few_images() -> None:
    _go_to(state.LAB_SHOTS, FEW_IMAGES)
    _go_to(state.LAB_TAB, EXPERIMENT)


def _printed(lesson: Lesson, finals: pd.DataFrame, number: int, solved: bool) -> str:
    note = words.how_trained(OWN_RATE, WEIGHT, own_weights())
    made = figures_of(lesson.key, grid(), finals) if solved else {}
    # Ink makes dark pictures darker still.
    pictures = [
        (bright_png(example.png), example.caption)
        for data in lesson.data
        for example in examples_of(data, ON_PAPER)
    ]
    return handout(lesson, finals, number, made, note, solved, pictures)


def _end(finals: pd.DataFrame) -> None:
    """Shows how many predictions were right, and a button that leads to the experiment."""
    answered = answers.first_predictions(LESSONS)
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
    title = COLUMNS["method"][0]
    if title not in table:
        return table
    return table.assign(**{title: [METHODS[method].label for method in table[title]]})


def _verdict(lesson: Lesson, finals: pd.DataFrame, answer: int | None) -> None:
    right = lesson.answer(finals)
    was = lesson.choices[right]
    if answer is None:
        st.markdown(words.what_happened(was))
    elif answers.tries(lesson):
        st.info(words.not_counted(_small(was)), icon=":material/replay:")
    elif answer == right:
        st.success(words.as_predicted(_small(was)), icon=":material/check:")
    else:
        guess = lesson.choices[answer]
        st.warning(words.other_than_predicted(_small(guess), _small(was)), icon=":material/close:")
    st.markdown(lesson.reveal(finals))


def _small(choice: str) -> str:
    """Returns a choice with a small first letter, as part of a sentence."""
    return f"{choice[0].lower()}{choice[1:]}"


def _numbers(lesson: Lesson, finals: pd.DataFrame) -> pd.DataFrame:
    """Returns the numbers behind a lesson's figures."""
    made: dict[str, Callable[[], pd.DataFrame]] = {
        "prompts": lambda: lesson_numbers(grid()),
        "text": lambda: by_weight(finals),
        "router": lambda: router_conditions(finals),
        "control": lambda: coop_changes(finals, (SINGLE, HALVES, DETAILS)),
    }
    return made[lesson.key]()


def _show_figures(lesson: Lesson, finals: pd.DataFrame) -> None:
    """Shows a lesson's figure; several are behind each other."""
    made = figures_of(lesson.key, grid(), finals)
    one = len(made) == 1
    places = [st.container()] if one else st.tabs([words.FIGURES[name] for name in made])
    for place, (name, (caption, figure)) in zip(places, made.items(), strict=True):
        with place:
            st.markdown(caption)
            show_figure(figure, name)


def _go_to(key: str, value: str | int) -> None:
    st.session_state[key] = value

"""The overfitting lab's lessons: predict first, then see what the trainings say."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import lab_figures, lab_tables, state
from app.lab_lessons import (
    LESSONS,
    SHOTS,
    WEIGHT,
    Lesson,
    by_weight,
    router_conditions,
    ways,
)
from app.lab_view import ONLY_FOR_LOOKING, grid
from app.page_parts import csv_button, show_figure, show_table


def lessons() -> None:
    """Shows the lesson that is chosen: story, question, and after an answer the reveal.

    Raises:
        UserError: if the grid cannot be read.
    """
    finals = _finals()
    titles = {lesson.key: f"{place}. {lesson.title}" for place, lesson in enumerate(LESSONS, 1)}
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
    place = list(titles).index(chosen or LESSONS[0].key)
    lesson = LESSONS[place]
    _lesson(lesson, finals)
    if place + 1 < len(LESSONS) and _revealed(lesson):
        following = LESSONS[place + 1].key
        st.button(
            f"Next: {LESSONS[place + 1].title}",
            icon=":material/arrow_forward:",
            on_click=_go_to,
            args=(following,),
        )


@st.cache_data(show_spinner=False, max_entries=1)
def _finals() -> pd.DataFrame:
    return lab_tables.final_table(grid())


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
            key=f"{state.ANSWER}_{lesson.key}",
            bind=state.QUERY,
            label_visibility="collapsed",
        )
        if not _revealed(lesson):
            pressed = st.button(
                "Show what happened", type="primary", disabled=answer is None, key="reveal"
            )
            if answer is None:
                st.caption("Choose first: a prediction of one's own is what one remembers.")
            if not pressed:
                return
            st.query_params[state.REVEALED] = [*_revealed_keys(), lesson.key]
            st.rerun()
    _verdict(lesson, finals, answer)
    _SHOWN[lesson.key](finals)
    st.info(lesson.takeaway(finals), icon=":material/lightbulb:")
    st.caption(ONLY_FOR_LOOKING)


def _verdict(lesson: Lesson, finals: pd.DataFrame, answer: int | None) -> None:
    right = lesson.answer(finals)
    said = lesson.choices[right]
    if answer is None:
        st.markdown(f"**What happened:** {said}.")
    elif answer == right:
        st.success(f"As you predicted: {said}.", icon=":material/check:")
    else:
        st.warning(f"It came otherwise: {said}.", icon=":material/close:")
    st.markdown(lesson.reveal(finals))


def _show_overfitting(finals: pd.DataFrame) -> None:
    curves = lab_tables.mean_curves(grid(), SHOTS, WEIGHT)
    st.markdown(
        f"**Change from before training**, mean over data sets, {SHOTS} images per class, text "
        f"weight {WEIGHT:g}; the band is one standard deviation over seeds"
    )
    show_figure(lab_figures.change_lines(curves, ("coop", "lasp", "mocoop")), "change-by-epoch")
    csv_button(curves, "change-by-epoch")


def _show_supervision(finals: pd.DataFrame) -> None:
    means = by_weight(finals)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown(f"**Accuracy by weight**, mean over data sets and seeds, {SHOTS} per class")
        show_figure(lab_figures.weight_lines(means), "accuracy-by-weight")
    with right:
        st.markdown("**Every training**: drift and change on new classes")
        new = finals[finals["half"] == "new"]
        new = new.assign(change=new["after"] - new["before"])
        titles = ("drift: 1 − cosine to the hard prompts", "points gained or lost")
        show_figure(lab_figures.scatter(new, "drift", "change", titles), "drift-and-change")
    show_table(means, "accuracy-by-weight", column_config=_rounded("before", "after"))


def _show_router(finals: pd.DataFrame) -> None:
    found = ways(finals)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"**Ways to use the experts**, {SHOTS} per class, text weight {WEIGHT:g}")
        show_figure(lab_figures.way_bars(found, next(iter(found))), "ways-to-choose")
    with right:
        st.markdown("**Every training and half**: what there is to gain, and what is gained")
        rows = finals[finals["method"] == "mocoop"]
        titles = ("perfect choice − random expert, points", "router − all equally, points")
        show_figure(
            lab_figures.scatter(rows, "headroom", "gain", titles, "weight"), "gain-of-routing"
        )
    table = router_conditions(finals)
    show_table(table, "gain-by-settings", column_config=_rounded("gain", "headroom"))


_SHOWN = {"prompts": _show_overfitting, "text": _show_supervision, "router": _show_router}


def _rounded(*names: str) -> dict:
    return {name: st.column_config.NumberColumn(format="%.1f") for name in names}


def _revealed_keys() -> list[str]:
    return st.query_params.get_all(state.REVEALED)


def _revealed(lesson: Lesson) -> bool:
    return lesson.key in _revealed_keys()


def _go_to(key: str) -> None:
    st.session_state[state.LESSON] = key

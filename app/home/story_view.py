"""The story on Home: a picture, what three methods say about it, and why."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from app.caches import run_list
from app.home import words
from app.home.story import Answer, Told, named_in_words, story_pair, why_in_words
from app.side_by_side.words import agreement
from app.ui import chips, run_picker
from app.ui.pictures import show_picture
from mocoop.errors import UserError
from mocoop.runs.run import Run


def first_choice(runs: dict[str, Run]) -> str:
    """Returns the run that Home shows by itself: one with a story, or else the usual one."""
    for name, run in runs.items():
        with suppress(UserError):  # the page reports a damaged run when the user chooses it
            if run.shipped and story_pair(run, runs.values(), run_list.setup_of) is not None:
                return name
    return run_picker.first_choice(runs)


def show(told: Told) -> None:
    """Shows the picture, a sentence about it, and the answers of the three methods in a row."""
    picture, text = st.columns([1, 5], gap="medium")
    with picture:
        show_picture(told.image, f"{told.truth}, {told.item.style}")
    picture.caption(words.below_picture(told.truth, told.item.style, told.item.role))
    with text, st.container(gap="small"):
        st.markdown(_sentences(told))
        tiles = st.columns(len(told.answers), border=True)
        for tile, answer in zip(tiles, told.answers, strict=True):
            tile.html(_answer(told, answer))


def _sentences(told: Told) -> str:
    why = why_in_words(told)
    first, second, mixture = told.answers
    if told.is_story:
        said = words.only_mixture_right(first.method, second.method, mixture.method)
        return f"{said} {why}"
    parts = [f"**{agreement([one.predicted for one in told.answers], told.truth)}**", why]
    if mixture.predicted != told.truth:
        known = {} if mixture.accuracy is None else {"all": {"accuracy": mixture.accuracy}}
        often = words.how_often_right(known)
        parts.append(words.wrong(mixture.method, mixture.predicted, told.truth, often))
    return " ".join(parts)


def _answer(told: Told, answer: Answer) -> str:
    """Returns a method's answer as HTML: class, probability, right or wrong, and how often."""
    right = answer.predicted == told.truth
    line = chips.right_or_wrong(answer.method, answer.predicted, answer.probability, right)
    named = named_in_words(told.item, answer.predicted)
    return line + chips.quiet(words.right_or_wrong(right, named, answer.accuracy))

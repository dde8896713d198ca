"""The story on Home: a picture, what three methods say about it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import streamlit as st

from app.caches import runs as run_caches
from app.caches.data import as_png, dataset
from app.home import words
from app.home.story import (
    Told,
    choose_picture,
    named_in_words,
    said,
    story_pair,
    why_in_words,
)
from app.side_by_side.tables import Column, in_words
from app.side_by_side.view import run_column, untrained_column
from app.ui import chips, pickers
from app.ui.pictures import show_picture
from mocoop.catalog.change_stamp import data_stamp
from mocoop.datasets.base import Item
from mocoop.datasets.builtin import SceneItem
from mocoop.errors import UserError
from mocoop.runs.run import Run, open_run

SIDE = 320  # pixels of the picture


def first_choice(runs: dict[str, Run]) -> str:
    """Returns the run that Home shows by itself: one with a story, or else the usual one."""
    for name, run in runs.items():
        with suppress(UserError):  # the page reports a damaged run when the user chooses it
            if run.shipped and story_pair(run, runs.values(), run_caches.setup_of) is not None:
                return name
    return pickers.first_choice(runs)


def told_about(run: Run, runs: Mapping[str, Run], number: int) -> Told | None:
    """Returns a picture with the answers of three methods; None if there is nothing to tell.

    Number 0 is the picture that tells the story, if there is one. The other numbers go through
    the other test images in the order of Home, whatever the methods say about them.

    Args:
        run: the run that Home shows.
        runs: the finished runs by name.
        number: of the picture.

    Raises:
        UserError: if the data or CLIP's weights changed after the training.
    """
    single = story_pair(run, runs.values(), run_caches.setup_of)
    if single is None:
        return None
    stamps = run_caches.stamp_of(run), run_caches.stamp_of(single)
    of_data = data_stamp(run_caches.setup_of(run).config.data)
    return _told(str(run.path), str(single.path), stamps, of_data, number)


@st.cache_resource(show_spinner=words.LOOKING, max_entries=64)
def _told(
    mixture: str, single: str, stamps: tuple[float, float], stamp_of_data: str, number: int
) -> Told | None:
    run, one = open_run(mixture), open_run(single)
    config = run_caches.setup_of(run).config
    data = dataset(config.data)
    items = run_caches.sample_items(run)

    def columns(item: Item) -> tuple[Column, Column, Column]:
        image = data.image(item)
        zero_shot = untrained_column(config, "zero-shot", image)
        return zero_shot, run_column(one, image), run_column(run, image)

    def says(item: Item) -> list[str]:
        return [said(column) for column in columns(item)]

    names = data.class_names
    story = choose_picture(items, says, names)
    # The story comes first and only once: else the button for another image could show it again.
    order = items if story is None else [story, *(item for item in items if item != story)]
    item = order[number % len(order)]
    if not isinstance(item, SceneItem):
        return None
    answers = columns(item)
    routed = answers[-1].routed
    if routed is None or not all(column.best for column in answers):
        return None
    own = run.results().get("all", {})
    accuracies = (
        own.get("zero_shot"), one.results().get("all", {}).get("accuracy"), own.get("accuracy")
    )  # fmt: skip
    png = as_png(data.image(item), SIDE)
    return Told(item, names[item.label], png, answers, routed, accuracies)


def show(told: Told) -> None:
    """Shows the picture, a sentence about it, and the answers of the three methods in a row."""
    picture, text = st.columns([1, 5], gap="medium")
    with picture:
        show_picture(told.image, f"{told.truth}, {told.item.style}")
    picture.caption(words.below_picture(told.truth, told.item.style, told.item.role))
    with text, st.container(gap="small"):
        st.markdown(_sentences(told))
        tiles = st.columns(len(told.columns), border=True)
        for tile, column, accuracy in zip(tiles, told.columns, told.accuracies, strict=True):
            tile.html(_answer(told, column, accuracy))


def _sentences(told: Told) -> str:
    why = why_in_words(told)
    first, second, mixture = (column.title for column in told.columns)
    if told.is_story:
        return f"{words.only_mixture_right(first, second, mixture)} {why}"
    parts = [f"**{in_words(told.columns, told.truth)}**", why]
    last = told.columns[-1]
    if said(last) != told.truth:
        accuracy = told.accuracies[-1]
        often = "" if accuracy is None else words.how_often_right({"all": {"accuracy": accuracy}})
        parts.append(words.wrong(last.title, said(last), told.truth, often))
    return " ".join(parts)


def _answer(told: Told, column: Column, accuracy: float | None) -> str:
    """Returns a method's answer as HTML: class, probability, right or wrong, and how often."""
    predicted, probability = column.best[0]
    right = predicted == told.truth
    line = chips.right_or_wrong(column.title, predicted, probability, right)
    below = words.right_or_wrong(right, named_in_words(told.item, predicted), accuracy)
    return line + chips.quiet(below)

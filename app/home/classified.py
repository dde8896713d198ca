"""What Home asks a run's classifier. It needs torch; the rest of Home does not."""

from __future__ import annotations

import streamlit as st

from app.caches import run_list
from app.caches import runs as run_caches
from app.caches.data import as_png, dataset
from app.common.methods import experts_in_words
from app.home import words
from app.home.pipeline import PipelineView, pipeline_view
from app.home.story import Answer, Told, choose_picture
from app.side_by_side.tables import Column
from app.side_by_side.view import run_column, untrained_column
from app.ui.pictures import to_show
from mocoop.catalog.change_stamp import data_stamp
from mocoop.classifiers.base import Routed
from mocoop.datasets.base import Item
from mocoop.datasets.builtin import SceneItem
from mocoop.runs.run import Run, open_run

SIDE = 320  # pixels of the picture


def told_about(run: Run, single: Run, number: int) -> Told | None:
    """Returns a picture with the answers of three methods; None if there is nothing to tell.

    Number 0 is the picture that tells the story, if there is one. The other numbers go through
    the other test images in the order of Home, whatever the methods say about them.

    Args:
        run: the run that Home shows, a mixture.
        single: the run of one learned prompt to tell beside it.
        number: of the picture.

    Raises:
        UserError: if the data or CLIP's weights changed after the training.
    """
    stamps = run_list.stamp_of(run), run_list.stamp_of(single)
    of_data = data_stamp(run_list.setup_of(run).config.data)
    return _told(str(run.path), str(single.path), stamps, of_data, number)


@st.cache_resource(show_spinner=words.LOOKING, max_entries=64)
def _told(
    mixture: str, single: str, stamps: tuple[float, float], stamp_of_data: str, number: int
) -> Told | None:
    run, one = open_run(mixture), open_run(single)
    config = run_list.setup_of(run).config
    data = dataset(config.data)
    items = run_caches.sample_items(run)

    def columns(item: Item) -> tuple[Column, Column, Column]:
        image = data.image(item)
        zero_shot = untrained_column(config, "zero-shot", image)
        return zero_shot, run_column(one, image), run_column(run, image)

    def says(item: Item) -> list[str]:
        return [column.best[0][0] if column.best else "" for column in columns(item)]

    names = data.class_names
    story = choose_picture(items, says, names)
    # The story comes first and only once: else the button for another image could show it again.
    order = items if story is None else [story, *(item for item in items if item != story)]
    item = order[number % len(order)]
    if not isinstance(item, SceneItem):
        return None
    found = columns(item)
    routed = found[-1].routed
    if routed is None or not all(column.best for column in found):
        return None
    own = run.results().get("all", {})
    of_single = one.results().get("all", {})
    zero_shot, prompt, whole = found
    answers = (
        _answer(zero_shot, own.get("zero_shot")),
        _answer(prompt, of_single.get("accuracy")),
        _answer(whole, own.get("accuracy")),
    )
    truth, png = names[item.label], as_png(data.image(item), SIDE)
    view = _view(run, routed, b"", truth, item)
    return Told(item, truth, png, answers, tuple(routed.chosen(0)), view)


def one_picture(run: Run, number: int) -> PipelineView:
    """Returns the way of one test image through a run; numbers are as in `routed_sample`.

    Raises:
        UserError: as `routed_sample`.
    """
    item, image, routed = run_caches.routed_sample(run, number)
    return _view(run, routed, to_show(image), routed.class_names[item.label], item)


def _answer(column: Column, accuracy: float | None) -> Answer:
    predicted, probability = column.best[0]
    return Answer(column.title, predicted, probability, accuracy)


def _view(run: Run, routed: Routed, image: bytes, truth: str, item: Item) -> PipelineView:
    routed, starts = experts_in_words(routed, run_list.setup_of(run))
    role = item.role if isinstance(item, SceneItem) else ""
    return pipeline_view(routed, starts, image, truth, item.style, role)

"""The Routing page: which experts a run chooses for which images, and whether it helps."""

from __future__ import annotations

import streamlit as st

from app.bench.view import many_pictures
from app.caches import data as data_caches
from app.caches import run_list
from app.caches import runs as run_caches
from app.common import state
from app.routing import cached, class_view, expert_view, typed_view, upload_view, view, words
from app.ui.entry import inside_the_app
from app.ui.glossary import words_on_this_page
from app.ui.loading import loading
from app.ui.messages import errors_in_words
from app.ui.run_picker import pick_run
from mocoop.evaluation.evaluate import RoutedItems
from mocoop.runs.run import Run


def page(run: Run) -> None:
    setup = run_list.setup_of(run)
    top = st.container()
    with loading(setup.config):
        has_test_images = run_caches.has_test_images(run)
        if has_test_images:
            with top:
                choice = view.pick_classes(setup)
            tested = run_caches.routed_test_items(run, choice)
            table = run_caches.gallery(run, choice)
            result = cached.evaluation(run, choice)
    if not has_test_images:
        own_pictures_alone(run)
        return
    view.overview(run, setup.config, tested, table, result)
    image = st.query_params.get(state.IMAGE)
    image_index = position(tested, image)
    closer = view.Closer(run, setup.config, tested)
    several = len(tested.routed.experts) > 1
    tables = words.COUNTS if several else words.RIGHTS
    extra = ([words.EXPERTS], [words.VALUE]) if several else ([], [])
    names = [words.IMAGES, *extra[0], tables, *extra[1], words.TRY, words.MANY, words.TYPE]
    tabs = dict(zip(names, st.tabs(names, key=state.VIEW, bind=state.QUERY), strict=True))
    if tabs[words.IMAGES].open:
        with tabs[words.IMAGES]:
            view.gallery(closer, table)
    if several and tabs[words.EXPERTS].open:
        with tabs[words.EXPERTS]:
            expert_view.one_expert(setup, closer, table)
    # These show the image themselves, or pictures of the user's own; or its dialog was left.
    elsewhere = any(tabs[name].open for name in (words.TRY, words.MANY, words.TYPE))
    elsewhere |= image == st.session_state.get(state.CLOSED_IMAGE)
    if image_index is not None and not elsewhere and not closer.is_open:
        closer.open(image_index)
    if tabs[tables].open:
        with tabs[tables]:
            view.count_tables(tested, table)
            class_view.mistakes(tested.routed.class_names, result)
    if several and tabs[words.VALUE].open:
        with tabs[words.VALUE]:
            view.value_of_routing(run, choice)
    if tabs[words.TRY].open:
        with tabs[words.TRY]:
            picture = test_picture(setup.config.data, tested, image_index or 0)
            upload_view.try_a_picture(run, picture)
    if tabs[words.MANY].open:
        with tabs[words.MANY]:
            many_pictures(run)
    if tabs[words.TYPE].open:
        with tabs[words.TYPE]:
            typed_view.type_a_prompt(run, tested, image_index or 0, choice)


def own_pictures_alone(run: Run) -> None:
    """Shows what needs no test image: the tabs for pictures of the user's own."""
    st.info(words.NO_TEST_IMAGES)
    names = [words.TRY, words.MANY]
    one, many = st.tabs(names, key=state.VIEW, bind=state.QUERY)
    if one.open:
        with one:
            upload_view.try_a_picture(run, None)
    if many.open:
        with many:
            many_pictures(run)


def position(tested: RoutedItems, item_id: str | None) -> int | None:
    """Returns the index of the image that the address names, or None."""
    indices = (index for index, item in enumerate(tested.items) if item.id == item_id)
    return next(indices, None)


def test_picture(data: str, tested: RoutedItems, index: int) -> upload_view.Picture:
    """Returns a test image as a picture for the tab "Try a picture"."""
    item = tested.items[index]
    truth = tested.routed.class_names[int(tested.labels[index])]
    image = data_caches.dataset(data).image(item)
    return upload_view.Picture(truth, image, truth=truth)


inside_the_app()
st.title(words.TITLE)
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(words.CAPTION, width="content")
    words_on_this_page("expert", "router", "style", "role", "group", "zero-shot", "ensemble")
if (renamed := words.RENAMED.get(st.query_params.get(state.VIEW, ""))) is not None:
    st.query_params[state.VIEW] = renamed
    st.rerun()
with errors_in_words():
    page(pick_run(words.WHAT_FOR))

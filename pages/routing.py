"""Routing: which experts a run chooses for which images, and whether that matters."""

from __future__ import annotations

import streamlit as st

from app.caches import data as data_caches
from app.caches import runs as run_caches
from app.common import state
from app.routing import cached, class_view, expert_view, upload_view, view
from app.ui.entry import inside_the_app
from app.ui.parts import errors_in_words
from app.ui.pickers import pick_run
from mocoop.evaluation.evaluate import RoutedItems
from mocoop.runs.run import Run


def page(run: Run) -> None:
    choice = view.pick_classes(run)
    found = run_caches.routed_test_items(run, choice)
    table = run_caches.gallery(run, choice)
    result = cached.evaluation(run, choice)
    view.overview(run, found, table, result)
    looked_at = position(found, st.query_params.get(state.IMAGE))
    several = len(found.routed.experts) > 1
    tables = view.COUNTS if several else view.RIGHTS
    extra = ([view.EXPERTS], [view.VALUE]) if several else ([], [])
    names = [view.IMAGES, *extra[0], tables, *extra[1], view.TRY]
    tabs = dict(zip(names, st.tabs(names, key=state.VIEW, bind=state.QUERY), strict=True))
    if tabs[view.IMAGES].open:
        with tabs[view.IMAGES]:
            view.gallery(run, found, table)
    if several and tabs[view.EXPERTS].open:
        with tabs[view.EXPERTS]:
            expert_view.one_expert(run, found, table)
    if looked_at is not None and not tabs[view.TRY].open:
        view.look_closer(run, found, looked_at)
    if tabs[tables].open:
        with tabs[tables]:
            view.count_tables(found, table)
            class_view.mistakes(found.routed.class_names, result)
    if several and tabs[view.VALUE].open:
        with tabs[view.VALUE]:
            view.value_of_routing(run, choice)
    if tabs[view.TRY].open:
        with tabs[view.TRY]:
            upload_view.try_a_picture(run, test_picture(run, found, looked_at or 0))


def position(found: RoutedItems, item_id: str | None) -> int | None:
    """Returns the place of the image that the address names; None without one."""
    places = (index for index, item in enumerate(found.items) if item.id == item_id)
    return next(places, None)


def test_picture(run: Run, found: RoutedItems, index: int) -> upload_view.Picture:
    """Returns a test image as a picture to try."""
    item = found.items[index]
    truth = found.routed.class_names[int(found.labels[index])]
    image = data_caches.dataset(run.setup().config.data).image(item)
    return upload_view.Picture(truth, image, truth=truth)


inside_the_app()
st.title("Routing")
st.caption("For every image the router chooses a few experts, and their prompts decide together.")
with errors_in_words():
    page(pick_run("which experts it chooses for every test image"))

"""Parts of the Data page: upload, a data set's size and images, the list of all data sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.caches import data_list
from app.common import access, changes, state
from app.common.words import escape_markdown
from app.data import tables, words
from app.ui import layout
from app.ui.item_picture import show_item
from app.ui.messages import errors_in_words
from app.ui.parts import csv_button, pick_page
from app.ui.pictures import brighten_switch
from app.ui.words import with_style
from mocoop.catalog.uploads import LIMITS
from mocoop.datasets import Dataset
from mocoop.datasets.base import SPLITS, Item
from mocoop.datasets.builtin import SceneDataset, SceneItem
from mocoop.datasets.builtin_cards import Card
from mocoop.storage.image_archives import names_in

PER_PAGE, SIDE = 32, 192  # of the 64 px scenes a whole multiple, so that they stay sharp
MAX_MEGABYTES = 200
ARCHIVE_TYPES = ["zip", "tar", "gz", "tgz", "bz2", "xz"]


def upload() -> None:
    """Lets the user upload a zip of class folders, and then selects the new data set."""
    if access.read_only():
        return
    if st.session_state.pop(state.DATA_TAKEN, False):
        st.session_state[state.DATA_PANEL] = False
    with st.popover(
        words.UPLOAD, icon=":material/upload:", key=state.DATA_PANEL, on_change="rerun"
    ):
        st.caption(words.upload_limits(MAX_MEGABYTES, LIMITS.entries, LIMITS.unpacked / 2**30))
        given = st.file_uploader(
            words.UPLOADER,
            type=ARCHIVE_TYPES,
            max_upload_size=MAX_MEGABYTES,
            key=state.DATA_UPLOAD,
            label_visibility="collapsed",
        )
        if given is None:
            return
        encoding = _names_encoding(given)
        if not st.button(words.USE_IT, type="primary", icon=":material/check:"):
            return
        with errors_in_words(), st.spinner(words.EXTRACTING):
            made = changes.store_upload(given, given.name, encoding)
            st.session_state[state.DATA_NEXT] = made.source
            st.session_state[state.DATA_TAKEN] = True
            st.rerun()


def _names_encoding(given: IO[bytes]) -> str:
    """Lets the user choose how the names in a zip are read, if the zip does not say it."""
    names = names_in(given)
    if not names.encoding:
        return ""
    return st.selectbox(
        words.WHICH_NAMES,
        list(names.examples),
        format_func=lambda encoding: f"{', '.join(names.examples[encoding])} ({encoding})",
    )


def overview(dataset: Dataset) -> None:
    """Shows the size of a data set, what it teaches or remarks about it, and its halves."""
    with st.container(horizontal=True, gap="large"):
        st.metric(words.NUMBER_OF_CLASSES, len(dataset.class_names), width="content")
        for split in SPLITS:
            st.metric(words.SPLITS[split], f"{len(dataset.items(split)):,}", width="content")
        if dataset.styles:
            st.metric(words.NUMBER_OF_STYLES, len(dataset.styles), width="content")
    if isinstance(dataset, SceneDataset):
        _card(dataset.card)
        st.caption(tables.halves_in_words(dataset))
        return
    said = [escape_markdown(remark) for remark in dataset.remarks]  # file names may hold any sign
    remarks = [f"{remark[0].upper()}{remark[1:]}." for remark in said]
    st.caption(" ".join([*remarks, tables.halves_in_words(dataset)]))
    if not dataset.items("test"):
        st.warning(words.NO_TEST_IMAGES, icon=":material/info:")


def _card(card: Card) -> None:
    """Shows what a built-in set teaches."""
    told = {
        words.LABEL_MEANS: card.label,
        words.CAN_BE_LEARNED: card.could,
        words.CANNOT_BE_LEARNED: card.could_not,
    }
    for column, (title, text) in zip(
        st.columns(len(told), border=True), told.items(), strict=True
    ):
        column.markdown(f"**{title}**  \n{text}")


def gallery(dataset: Dataset) -> None:
    """Shows the filtered images with their class and style, one page at a time."""
    wanted = _picture_filter(dataset)
    items = tables.pictures(dataset, wanted)
    if not items:
        st.info(words.NO_MATCH)
        return
    pages = -(-len(items) // PER_PAGE)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(words.images(len(items)), width="content")
        page = pick_page(pages, state.DATA_PAGE)
        brighten_switch()
    start = (page - 1) * PER_PAGE
    shown = items[start : start + PER_PAGE]
    with layout.tiles("small", "pictures"):
        for item in shown:
            with st.container(gap=None):
                _picture(dataset, item)


def _picture_filter(dataset: Dataset) -> tables.PictureFilter:
    splits = [split for split in SPLITS if dataset.items(split)]
    split_column, class_column, style_column = st.columns(3)
    split = split_column.segmented_control(
        words.SPLIT,
        splits,
        default=splits[0],
        required=True,
        format_func=words.SPLITS.__getitem__,
        key=state.DATA_SPLIT,
        bind=state.QUERY,
    )

    def pick(column: DeltaGenerator, label: str, names: Iterable[str], key: str) -> str | None:
        # Nothing chosen means all: an option "all" could be the name of a class, too.
        return column.selectbox(
            label,
            list(dict.fromkeys(names)),
            index=None,
            placeholder=words.ALL,
            key=key,
            bind=state.QUERY,
        )

    class_name = pick(class_column, words.CLASS, dataset.class_names, state.DATA_CLASS)
    style = None
    if dataset.styles:
        style = pick(style_column, words.STYLE, dataset.styles, state.DATA_STYLE)
    return tables.PictureFilter(split or splits[0], class_name, style)


def _picture(dataset: Dataset, item: Item) -> None:
    class_name, drawn = dataset.class_names[item.label], item.style or ""
    show_item(dataset, item, SIDE, with_style(class_name, item.style))
    if isinstance(item, SceneItem):
        drawn = f"{drawn}, {item.role}"
    below = f"  \n*{escape_markdown(drawn)}*" if drawn else ""
    st.caption(f"{escape_markdown(class_name)}{below}")


def all_sets() -> None:
    """Shows every known data set, what is missing, and the next step."""
    table: pd.DataFrame = tables.inventory_table(data_list.inventory())
    st.table(table, hide_index=True)  # unlike st.dataframe, it wraps long sentences
    csv_button(table, "data sets")
    st.caption(words.WHERE)

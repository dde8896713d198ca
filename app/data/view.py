"""Parts of the Data page: upload, a data set's size and images, the list of all data sets."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.caches import data as data_caches
from app.common import access, state
from app.data import tables
from app.ui import layout
from app.ui.parts import csv_button, errors_in_words
from mocoop.catalog.uploads import LIMITS, keep_upload
from mocoop.datasets import Dataset
from mocoop.datasets.base import SPLITS, Item
from mocoop.datasets.builtin import SceneDataset, SceneItem
from mocoop.datasets.builtin_cards import Card
from mocoop.errors import UserError

PICTURES, CLASSES, TEMPLATES, CHECK = "Pictures", "Classes", "Templates", "Check"
PER_PAGE, SIDE = 32, 192  # of the 64 px scenes a whole multiple, so that they stay sharp
MAX_MEGABYTES = 200
SPLIT_WORDS = {"train": "Training", "val": "Validation", "test": "Test"}
ALL = "all"


def upload() -> None:
    """Lets the user upload a zip of class folders, and then selects the new data set."""
    if access.read_only():
        return
    if st.session_state.pop(state.DATA_TAKEN, False):
        st.session_state[state.DATA_PANEL] = False
    with st.popover(
        "Upload a zip", icon=":material/upload:", key=state.DATA_PANEL, on_change="rerun"
    ):
        st.caption(
            "The zip needs one folder of images per class, or folders train/, val/ and test/ "
            "that contain such folders. At most "
            f"{MAX_MEGABYTES} MB, {LIMITS.entries:,} files, {LIMITS.unpacked / 2**30:g} GB "
            "unpacked. The zip stays on this machine."
        )
        given = st.file_uploader(
            "Zip of class folders",
            type="zip",
            max_upload_size=MAX_MEGABYTES,
            key=state.DATA_UPLOAD,
            label_visibility="collapsed",
        )
        if given is None or not st.button("Use it", type="primary", icon=":material/check:"):
            return
        with errors_in_words(), st.spinner("Extracting …"):
            access.check_may_change()
            made = keep_upload(given, given.name)
            st.session_state[state.DATA_NEXT] = made.source
            st.session_state[state.DATA_TAKEN] = True
            st.rerun()


def overview(dataset: Dataset) -> None:
    """Shows the size of a data set, what it teaches or remarks about it, and its halves."""
    with st.container(horizontal=True, gap="large"):
        st.metric("Classes", len(dataset.class_names), width="content")
        for split in SPLITS:
            st.metric(SPLIT_WORDS[split], f"{len(dataset.items(split)):,}", width="content")
        if dataset.styles:
            st.metric("Styles", len(dataset.styles), width="content")
    if isinstance(dataset, SceneDataset):
        _card(dataset.card)
        st.caption(tables.halves_in_words(dataset))
        return
    remarks = [f"{remark[0].upper()}{remark[1:]}." for remark in dataset.remarks]
    st.caption(" ".join([*remarks, tables.halves_in_words(dataset)]))


def _card(card: Card) -> None:
    """Shows what a built-in set teaches."""
    told = {
        "What a label means": card.label,
        "What can be learned": card.could,
        "What cannot": card.could_not,
    }
    for column, (title, text) in zip(
        st.columns(len(told), border=True), told.items(), strict=True
    ):
        column.markdown(f"**{title}**  \n{text}")


def gallery(name: str, dataset: Dataset) -> None:
    """Shows the filtered images with their class and style, one page at a time."""
    wanted = _picture_filter(dataset)
    items = tables.pictures(dataset, wanted)
    if not items:
        st.info("No image matches these filters. Remove one of them.")
        return
    pages = -(-len(items) // PER_PAGE)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{len(items):,} images", width="content")
        page = st.pagination(pages, key=state.DATA_PAGE, bind=state.QUERY) if pages > 1 else 1
    start = (min(page, pages) - 1) * PER_PAGE
    shown = items[start : start + PER_PAGE]
    with layout.tiles("small", "pictures"):
        for item in shown:
            with st.container(gap=None):
                _picture(name, dataset, item)


def _picture_filter(dataset: Dataset) -> tables.PictureFilter:
    splits = [split for split in SPLITS if dataset.items(split)]
    split_column, class_column, style_column = st.columns(3)
    split = split_column.segmented_control(
        "Split",
        splits,
        default=splits[0],
        required=True,
        format_func=SPLIT_WORDS.__getitem__,
        key=state.DATA_SPLIT,
        bind=state.QUERY,
    )
    names = [ALL, *dict.fromkeys(dataset.class_names)]
    class_name = class_column.selectbox("Class", names, key=state.DATA_CLASS, bind=state.QUERY)
    style = ALL
    if dataset.styles:
        style = style_column.selectbox(
            "Style", [ALL, *dataset.styles], key=state.DATA_STYLE, bind=state.QUERY
        )
    return tables.PictureFilter(
        split or splits[0],
        None if class_name == ALL else class_name,
        None if style == ALL else style,
    )


def _picture(name: str, dataset: Dataset, item: Item) -> None:
    words, drawn = dataset.class_names[item.label], item.style or ""
    try:
        data = data_caches.thumbnail(name, item.id, item.label, item.style, SIDE)
    except UserError as error:
        st.caption(f":material/broken_image: {error}")
        return
    st.image(data, width="stretch", alt=f"{words}, {drawn}" if drawn else words)
    if isinstance(item, SceneItem):
        drawn = f"{drawn}, {item.role}"
    st.caption(f"{words}  \n*{drawn}*" if drawn else words)


def all_sets() -> None:
    """Shows every known data set, what is missing, and the next step."""
    table: pd.DataFrame = tables.inventory_table(data_caches.inventory())
    st.table(table, hide_index=True)  # unlike st.dataframe, it wraps long sentences
    csv_button(table, "data sets")
    st.caption(
        "Benchmark data sets are in the folder `data`, or in the folder that MOCOOP_DATA names. "
        "`mocoop data download NAME` downloads one after it has shown the terms of use."
    )

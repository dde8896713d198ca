"""The picture of a data set's item, or why it cannot be shown."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.caches import data as data_caches
from app.common.words import escape_markdown
from app.ui.pictures import show_picture
from mocoop.datasets import Dataset, Item
from mocoop.errors import UserError


def show_item(
    data: Dataset, item: Item, side: int, alt: str, width: int | Literal["stretch"] = "stretch"
) -> None:
    """Shows an item's image; in its place a sentence if it cannot be read.

    One damaged image leaves all others in sight.

    Args:
        data: the data set.
        item: the image.
        side: the largest side of the image that is sent to the browser, in pixels.
        alt: what it shows, for screen readers.
        width: the width on the page in pixels, or "stretch".
    """
    try:
        png = data_caches.thumbnail(data, item, side)
    except UserError as error:
        st.caption(f":material/broken_image: {escape_markdown(str(error))}")
        return
    show_picture(png, alt, width)

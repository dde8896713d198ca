"""Streamlit caches of data sets, their pictures and the CLIP."""

from __future__ import annotations

import io

import streamlit as st
from PIL import Image

from app.caches import words
from app.common import access
from mocoop.catalog.change_stamp import data_stamp
from mocoop.clip.backbone import Backbone, load_backbone
from mocoop.datasets import Dataset, Item, load_dataset
from mocoop.errors import UserError
from mocoop.user_paths import user_path


def backbone(name: str) -> Backbone:
    """Returns a frozen CLIP; all sessions share it, and nothing may change its weights.

    It is loaded again if its own files, those of a folder, `FILE` or `NAME/FILE`, change on disk.

    Raises:
        UserError: for a CLIP that cannot be loaded, or that this server does not open.
    """
    access.check_clip_path(name, st.get_option("server.address"))
    return _backbone(name, clip_stamp(name))


@st.cache_resource(show_spinner=words.LOADING_CLIP, max_entries=2)
def _backbone(name: str, stamp: str) -> Backbone:
    return load_backbone(name, "auto")


def clip_stamp(name: str) -> str:
    """Returns a string that changes when the user's own files of a CLIP change; else empty."""
    path = user_path(name)
    files = [path, user_path(name.partition("/")[2])]
    if path.is_dir():
        files = sorted(path.iterdir())
    return "|".join(f"{file.name}:{file.stat().st_mtime_ns}" for file in files if file.is_file())


def stamp_of_inputs(data: str, clip: str) -> str:
    """Returns a string that changes when a data set or a CLIP changes on disk.

    It is part of the key of everything that is computed from both.
    """
    return f"{data_stamp(data)}|{clip_stamp(clip)}"


def dataset(name: str) -> Dataset:
    """Returns a data set as it is on disk now; it is immutable, and all sessions share it."""
    return _dataset(name, data_stamp(name))


@st.cache_resource(show_spinner=words.OPENING_DATA, max_entries=8)
def _dataset(name: str, stamp: str) -> Dataset:
    return load_dataset(name)


def thumbnail(data: Dataset, item: Item, side: int) -> bytes:
    """Returns an item's image as a small PNG that fits into a square of `side` pixels.

    Args:
        data: the data set, from `dataset`: to look for it again for every image would be slow.
        item: one of its items.
        side: the longer side of the PNG.

    Raises:
        UserError: if the image cannot be read.
    """
    try:
        stamp = data.stamp(item)
    except OSError as error:
        raise UserError(f"{item.id}: {error.strerror or error}.") from error
    return _thumbnail(data, item, data.source, item.id, "" if stamp is None else stamp.text, side)


@st.cache_data(show_spinner=False, max_entries=4000)
def _thumbnail(
    _data: Dataset, _item: Item, source: str, item_id: str, stamp: str, side: int
) -> bytes:
    return as_png(_data.image(_item), side)


def as_png(image: Image.Image, side: int) -> bytes:
    """Returns an image as PNG bytes, fitted into a square of `side` pixels."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    sharp = scale >= 1  # small drawings are enlarged without blurring
    shown = image.resize(size, Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()

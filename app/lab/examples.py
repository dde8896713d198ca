"""Pictures of a lesson's sets: one per style, with what counts in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.caches import data as data_caches
from app.common import state
from app.lab import words
from app.ui import layout
from app.ui.pictures import brighten_switch, show_picture
from app.ui.words import with_style
from mocoop.datasets.builtin import SceneItem

SIDE = 192  # of the 64 px scenes a whole multiple, so that they stay sharp
MOST = 3  # pictures of a set
ON_PAPER = 64  # pixels: those of the scenes themselves


def examples(sets: Sequence[str]) -> None:
    """Shows a picture per style of each set, and links to their Data pages."""
    pictures = st.container()
    brighten_switch()
    with pictures:
        _show(sets)


@dataclass(frozen=True)
class Example:
    """A picture of a set, as PNG, with its caption and what it shows for screen readers."""

    png: bytes
    caption: str
    alt: str


def examples_of(data: str, side: int = SIDE) -> list[Example]:
    """Returns a picture per style of a set, at most `MOST`, as wide as `side` pixels."""
    dataset = data_caches.dataset(data)
    first: dict[str | None, SceneItem] = {}
    for item in dataset.items("test"):
        if isinstance(item, SceneItem):
            first.setdefault(item.style, item)
    found = []
    for item in list(first.values())[:MOST]:
        name = dataset.class_names[item.label]
        png = data_caches.thumbnail(dataset, item, side)
        caption = words.what_counts(item.style or "", item.role, name, len(item.things))
        found.append(Example(png, caption, with_style(name, item.style)))
    return found


def _show(sets: Sequence[str]) -> None:
    for data in sets:
        with layout.tiles("small", f"examples-{data}"):
            for example in examples_of(data):
                with st.container(gap=None):
                    show_picture(example.png, width="stretch", alt=example.alt)
                    st.caption(example.caption)
        st.page_link(
            "pages/data.py",
            label=words.more_pictures(data),
            icon=":material/photo_library:",
            query_params={state.DATA: data},
        )

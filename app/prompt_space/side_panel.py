"""The panel beside the map: the key, and images of the class of the chosen point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import streamlit as st

from app.caches import data as data_caches
from app.common import state
from app.common.words import escape_markdown
from app.prompt_space import key, tables, words
from app.ui.linked import linked_choice
from app.ui.pictures import show_picture
from mocoop.datasets import Dataset
from mocoop.errors import UserError
from mocoop.runs.run import RunSetup

IMAGES, SIDE = 3, 160  # number of images of the chosen class; their width in pixels, twice


def side_panel(
    setup: RunSetup,
    colour_by: str,
    colours: Mapping[str, str],
    flat: bool,
    typed: bool,
    found: tuple[str, str] | None,
) -> None:
    """Shows what marks and colours mean, and images of the class of the chosen point.

    Args:
        setup: the run's.
        colour_by: group or class.
        colours: the groups or classes that are drawn → colour.
        flat: whether the map has two dimensions.
        typed: whether it shows a typed prompt.
        found: what the search marks, as `class` or `group` and its name.
    """
    st.markdown(words.KEY)
    st.html(key.marks(flat, typed))
    pictures = {}
    if colour_by == "class":
        names, data = list(colours)[: key.LONGEST], data_of(setup)
        pictures = {name: png[0] for name in names if (png := class_pictures(data, name, 1))}
    bold = found[1] if found is not None and found[0] == colour_by else ""
    with st.container(gap="xxsmall"):
        if len(colours) > 1:
            st.caption(words.BY_COLOUR[colour_by])
            st.html(key.colour_lines(list(colours), colours, pictures, bold))
        chosen_point(setup)


def chosen_point(setup: RunSetup) -> None:
    """Shows the name of the chosen point and images of its class."""
    st.markdown(words.POINT)
    class_name = linked_choice(setup.class_names, state.MAP_CLASS, "")
    if not class_name:
        st.caption(words.NO_POINT)
        return
    expert = linked_choice(setup.experts, state.MAP_EXPERT, "") if len(setup.experts) > 1 else ""
    kind, template = _kind_of_selected(expert, class_name)
    st.markdown(escape_markdown(words.point(kind, expert, class_name)))
    if template:
        st.caption(escape_markdown(template.replace("{}", class_name)))
    pictures = class_pictures(data_of(setup), class_name, IMAGES)
    if not pictures:
        st.caption(words.NO_IMAGES)
    with st.container(horizontal=True, gap="small"):
        for number, png in enumerate(pictures, start=1):
            show_picture(png, width=SIDE // 2, alt=words.at_point(class_name, number))


def data_of(setup: RunSetup) -> Dataset | None:
    """Returns a run's data set; None if it is gone or has other classes now.

    The lower part of the page, which needs the images, says what happened to the data.
    """
    with suppress(UserError):
        data = data_caches.dataset(setup.config.data)
        if tuple(data.class_names) == tuple(setup.class_names):
            return data
    return None


def class_pictures(data: Dataset | None, class_name: str, count: int) -> Sequence[bytes]:
    """Returns the first test images of a class as PNG; none without data."""
    if data is None:
        return ()
    pictures = []
    for item in data.items("test", [data.class_names.index(class_name)])[:count]:
        with suppress(UserError):  # one damaged image leaves the others in sight
            pictures.append(data_caches.thumbnail(data, item, SIDE))
    return pictures


def _kind_of_selected(expert: str, class_name: str) -> tuple[str, str]:
    """Returns kind and template of the point that is selected on the map, or empty texts."""
    chosen = st.session_state.get(state.MAP_POINTS)
    points = chosen.selection.points if chosen else []
    if not points:
        return "", ""
    kind, group, name, template = points[0]["customdata"]
    same = name == class_name and group in (expert, tables.TYPED_GROUP, "prompt")
    return (words.POINT_KINDS[kind], template) if same else ("", "")

"""The groups of new templates: a map, and everything that changes them, which can be undone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from app.caches import answers as answer_caches
from app.common import state
from app.common.theme import expert_colours
from app.common.words import escape_markdown
from app.jobs.template_jobs import MakingResult
from app.new_templates import figures, tables, words
from app.ui import chips, layout
from app.ui.messages import errors_in_words
from app.ui.parts import show_figure
from app.ui.prompt_box import prompt_box
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.template_making.editing import NAME_LETTERS, EditedGroups
from mocoop.template_making.flat_map import TemplateMap
from mocoop.template_making.word_checks import WordChecks
from mocoop.templates import as_groups

MOST_GROUPS = 20
ROWS_HEIGHT = 330


class History:
    """The groups after every change by hand, the newest last.

    Args:
        name: the data set's.
        key: of the request whose templates are grouped.
        first: returns the groups as they were made.
    """

    def __init__(self, name: str, key: str, first: Callable[[], EditedGroups]) -> None:
        self._key = key
        self._steps = f"{state.MADE_HISTORY} {name} {key}"
        self._count = f"{state.MADE_CHANGES} {name} {key}"
        if self._steps not in st.session_state:
            st.session_state[self._steps] = [first()]

    @property
    def now(self) -> EditedGroups:
        """The groups now."""
        newest: EditedGroups = st.session_state[self._steps][-1]
        return newest

    @property
    def steps(self) -> int:
        """How many changes can be taken back."""
        return len(st.session_state[self._steps]) - 1

    @property
    def mark(self) -> str:
        """Part of the keys of widgets: another one for other templates, and after every change.

        Streamlit would keep rows that are selected, or a number that was typed.
        """
        return f"{self._key} {st.session_state.get(self._count, 0)}"

    def change(self, make: Callable[[EditedGroups], EditedGroups]) -> None:
        """Makes a change and runs the page again; a change that cannot be made is explained."""
        with errors_in_words():
            changed = make(self.now)
            st.session_state[self._steps] = [*st.session_state[self._steps], changed]
            self._again()

    def undo(self) -> None:
        """Takes the last change back, and runs the page again."""
        st.session_state[self._steps] = st.session_state[self._steps][:-1]
        self._again()

    def _again(self) -> None:
        st.session_state[self._count] = st.session_state.get(self._count, 0) + 1
        st.rerun()


def history_of(name: str, key: str, result: MakingResult, drawn: TemplateMap) -> History:
    """Returns the groups of a request, with the changes that were made by hand."""

    def first() -> EditedGroups:
        groups = as_groups(result.document["groups"])
        return EditedGroups.of(groups, result.templates, drawn.vectors)

    return History(name, key, first)


def edit_groups(
    dataset: Dataset,
    config: TrainConfig,
    result: MakingResult,
    drawn: TemplateMap,
    history: History,
) -> str | None:
    """Shows the map and what changes the groups; returns a typed prompt, None without one.

    Args:
        dataset: the data set.
        config: settings that name the data set and the CLIP.
        result: the templates and their features.
        drawn: their map.
        history: the groups.
    """
    edited = history.now
    _number(edited, history)
    typed = prompt_box(config, words.TYPED_BOX)
    place = None
    if typed is not None:
        text = answer_caches.text_features(config.backbone, config.data, typed)
        mean = text[list(result.encoded)].double().mean(dim=0).numpy()
        x, y = drawn.place(mean).tolist()
        place = (typed, (x, y))
        _typed(dataset, typed, drawn.vector(mean), history)
    table = tables.point_table(edited, drawn.axes)
    colours = expert_colours(list(edited.members))
    left, right = layout.wrapping_columns([3, 2], "templates")
    with left:
        chosen = show_figure(
            figures.template_map(table, colours, place),
            f"{state.MADE_MAP}-{history.mark}".replace(" ", "-"),
            words.MAP_ALT,
            table,
            on_select="rerun",
            selection_mode=("lasso", "box", "points"),
        )
        st.caption(words.map_shows(drawn.shown))
        unused, shown = (
            int((some[words.GROUP] == "").sum()) for some in (table, figures.drawn(table))
        )
        if shown < unused:
            st.caption(words.only_some(shown, unused))
    with right:
        for name, members in edited.members.items():
            first = edited.templates[members[0]]
            note = words.in_group(len(members), first)
            st.html(chips.small_title(name, note, colours[name]))
        buttons = st.container()
        _one_group(edited, history)
    rows = _rows(table, history)
    points = [int(_first(point["customdata"])) for point in chosen.selection.points]
    picked = sorted({*rows, *(index for index in points if index != tables.TYPED_INDEX)})
    with buttons:
        _move(edited, picked, history)
    return typed


def _first(value: object) -> int:
    """Returns the number in a point's custom data, which may come as a list."""
    return int(np.ravel(np.asarray(value))[0])


def _number(edited: EditedGroups, history: History) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        count = st.number_input(
            words.NUMBER,
            1,
            MOST_GROUPS,
            min(MOST_GROUPS, len(edited.members)),
            width=170,
            key=f"{words.NUMBER} {history.mark}",
        )
        if st.button(words.AGAIN, icon=":material/workspaces:"):
            history.change(lambda groups: groups.again(int(count)))
        if st.button(
            words.undo(history.steps),
            icon=":material/undo:",
            disabled=not history.steps,
            help=words.UNDO_HELP,
        ):
            history.undo()


def _typed(dataset: Dataset, typed: str, vector: np.ndarray, history: History) -> None:
    """Says which group a typed prompt is nearest to, and offers to add it there."""
    group, cosine = tables.nearest_group(history.now, vector)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(escape_markdown(words.nearest(typed, group, cosine)), width="content")
        problem = WordChecks(dataset.class_names).problem(typed)
        if problem:
            st.caption(escape_markdown(words.cannot_add(problem)))
        elif st.button(words.ADD, icon=":material/add:", type="tertiary"):
            history.change(lambda groups: groups.added(typed, vector, group))


def _move(edited: EditedGroups, picked: list[int], history: History) -> None:
    """Shows what is selected, and moves it to another group."""
    st.caption(words.selected(len(picked)) if picked else words.SELECT)
    if not picked:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choices = [*edited.members, words.NEW_GROUP, words.LEAVE_OUT]
        number = st.selectbox(
            words.MOVE_TO,
            range(len(choices)),
            format_func=choices.__getitem__,
            width=220,
            key=f"{words.MOVE_TO} {history.mark}",
        )
        to = choices[number]
        if number == len(choices) - 2:
            to = st.text_input(words.NAME_OF_NEW, max_chars=NAME_LETTERS, width=180)
        leave = number == len(choices) - 1
        if st.button(words.MOVE, icon=":material/drive_file_move:", type="primary"):
            if leave:
                history.change(lambda groups: groups.moved(picked, ""))
            else:
                history.change(lambda groups: groups.moved(picked, to or " "))


def _one_group(edited: EditedGroups, history: History) -> None:
    """Renames, splits or merges one group."""
    with st.expander(words.CHANGE, icon=":material/tune:"):
        mark, names = history.mark, list(edited.members)
        name = st.selectbox(words.GROUP, names, key=f"{words.CHANGE} {mark}")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            new = st.text_input(
                words.NEW_NAME,
                name,
                max_chars=NAME_LETTERS,
                width=220,
                key=f"{words.NEW_NAME} {name} {mark}",
            )
            if st.button(words.RENAME, icon=":material/edit:"):
                history.change(lambda groups: groups.renamed(name, new))
        others = [one for one in names if one != name]
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if others:
                into = st.selectbox(
                    words.MERGE_WITH, others, width=220, key=f"{words.MERGE_WITH} {name} {mark}"
                )
                if st.button(words.MERGE, icon=":material/merge:"):
                    history.change(lambda groups: groups.merged(name, into))
            if st.button(words.SPLIT, icon=":material/call_split:"):
                history.change(lambda groups: groups.split(name))


def _rows(table: pd.DataFrame, history: History) -> list[int]:
    """Shows every template with its group; returns the indices of the ticked ones."""
    with st.expander(words.EVERY_TEMPLATE, icon=":material/table_rows:"):
        chosen = st.dataframe(
            table[[words.GROUP, words.TEMPLATE]],
            hide_index=True,
            height=min(ROWS_HEIGHT, 38 + 35 * len(table)),
            on_select="rerun",
            selection_mode="multi-row",
            key=f"{state.MADE_ROWS} {history.mark}",
        )
    return [int(table[tables.INDEX].iloc[row]) for row in chosen.selection.rows]

"""The widget to choose a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence

import streamlit as st

from app.caches import data_list
from app.common import access, state
from app.common.words import data_label
from app.ui import words
from mocoop.datasets import BENCHMARKS, is_builtin
from mocoop.errors import UserError
from mocoop.user_paths import user_path


def pick_data() -> str:
    """Returns the chosen data set: built in, found on disk, uploaded, or a typed path.

    Raises:
        UserError: if no data set is chosen.
    """
    typed = not access.read_only()
    memory = st.session_state
    following = memory.pop(state.DATA_NEXT, None)
    if following is None and state.DATA not in st.query_params:
        following = memory.get(state.DATA_LAST)  # the address does not contain a default choice
    choices = data_list.data_choices()
    if following is not None:
        memory[state.DATA] = _entry(following, choices)

    def remember() -> None:
        memory[state.DATA_LAST] = memory[state.DATA]

    chosen = st.selectbox(
        words.DATA_SET,
        choices,
        format_func=data_label,
        key=state.DATA,
        bind=state.QUERY,
        on_change=remember,
        accept_new_options=typed,
        help=words.DATA_SET_HELP if typed else None,
    )
    remember()
    return data_name(chosen or "")


def _entry(name: str, choices: Sequence[str]) -> str:
    """Returns the menu's entry for a data set; what was typed if there is none.

    Runs and uploads know a whole path; the menu has it from the data root on, which may be `data`.
    """
    same = (one for one in choices if name in (one, os.path.abspath(one), os.path.realpath(one)))
    return next(same, name)


def data_name(typed: str) -> str:
    """Returns the name of a built-in or benchmark set, or the absolute path that was typed.

    Raises:
        UserError: if nothing was typed, or if this server does not open the path.
    """
    text = typed.strip()
    if not text:
        raise UserError("Choose a data set, or type the path of a folder of images.")
    if is_builtin(text) or text in BENCHMARKS:
        return text
    access.check_folder(text, st.get_option("server.address"))
    return str(user_path(text).resolve())

"""Import of prompts that another program trained, on the Compare page."""

from __future__ import annotations

import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, get_args

import streamlit as st

from app.caches import data as data_caches
from app.common import access, state
from app.common.words import data_label
from app.compare import import_words as words
from app.ui.pickers import data_name
from mocoop.clip.backbone import DEMO
from mocoop.clip.known import KNOWN_CLIPS
from mocoop.config import NamePosition, TrainConfig
from mocoop.errors import UserError, UserNote
from mocoop.exchange.import_prompts import import_prompts
from mocoop.runs.run import Run
from mocoop.storage.temporary_folder import TemporaryFolder
from mocoop.templates import groups_in

MAX_UPLOAD_MB = 1000  # the MoCoOp authors' files hold the whole CLIP and its optimizer


def import_panel() -> None:
    """Shows the form that makes a run of a checkpoint, unless the server is read-only."""
    if access.read_only():
        return
    for note in st.session_state.pop(state.IMPORT_NOTES, ()):
        st.info(note, icon=":material/info:")
    with st.expander(words.IMPORT_PROMPTS, icon=":material/text_fields:"):
        st.caption(words.CAPTION)
        with st.form("import prompts", border=False, clear_on_submit=False):
            file = st.file_uploader(
                words.CHECKPOINT, key=state.PROMPTS_FILE, max_upload_size=MAX_UPLOAD_MB
            )
            config, position, groups = _settings()
            asked = st.form_submit_button(words.IMPORT, icon=":material/upload_file:")
        if not asked:
            return
        if file is None:
            st.warning(words.CHOOSE_FILE)
            return
        try:
            run, notes = _imported(file, config, position, groups)
        except UserError as error:
            st.error(str(error), icon=":material/error:")
            return
        st.session_state[state.IMPORTED] = run.name
        st.session_state[state.IMPORT_NOTES] = notes
        st.rerun()


def _settings() -> tuple[TrainConfig, NamePosition, Any]:
    """Returns what the form says: settings, position of the class name, file of templates."""
    with st.container(horizontal=True):
        data = st.selectbox(
            words.DATA_SET,
            data_caches.data_choices(),
            format_func=data_label,
            key=state.PROMPTS_DATA,
            accept_new_options=True,
        )
        clip = st.selectbox(
            words.CLIP,
            [DEMO, *KNOWN_CLIPS],
            key=state.PROMPTS_CLIP,
            accept_new_options=True,
            help=words.CLIP_HELP,
        )
    with st.container(horizontal=True):
        position = st.selectbox(
            words.POSITION,
            get_args(NamePosition),
            format_func=words.POSITIONS.__getitem__,
            key=state.PROMPTS_POSITION,
            help=words.POSITION_HELP,
        )
        shots = st.number_input(words.SHOTS, 1, value=16, help=words.NAMING_HELP)
        seed = st.number_input(words.SEED, 0, 2**32 - 1, value=1, help=words.NAMING_HELP)
    groups = st.file_uploader(
        words.GROUPS, ["yaml", "yml"], key=state.PROMPTS_GROUPS, help=words.GROUPS_HELP
    )
    config = TrainConfig(
        data=data or "", backbone=(clip or "").strip() or DEMO, shots=int(shots), seed=int(seed)
    )
    return config, position, groups


def _imported(
    file: Any, config: TrainConfig, position: NamePosition, groups: Any
) -> tuple[Run, list[str]]:
    """Returns the new run, and what the file leaves open.

    Raises:
        UserError: as `import_prompts`; for a file of templates that cannot be read; on a
            read-only server.
    """
    access.check_may_change()
    config = replace(config, data=data_name(config.data))
    if groups is not None:
        config = replace(config, groups=groups_in(groups.getvalue(), groups.name))
    name = PurePosixPath(file.name.replace("\\", "/")).name or "checkpoint"
    dataset = data_caches.dataset(config.data)
    backbone = data_caches.backbone(config.backbone)
    folder = TemporaryFolder()  # a file may have a gigabyte: what a killed server left is removed
    with (
        closing(folder),
        st.spinner(words.TESTING),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", UserNote)
        path = folder.path / name
        path.write_bytes(file.getbuffer())
        try:
            run = import_prompts(
                path, config, position=position, dataset=dataset, backbone=backbone
            )
        except UserError as error:
            raise UserError(str(error).replace(str(path), name)) from error
    return run, [str(note.message) for note in caught if issubclass(note.category, UserNote)]

"""Import of prompts that another program trained, on the Compare page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import streamlit as st

from app.caches import data_list
from app.common import access, state
from app.common.words import data_label
from app.compare import import_words as words
from app.jobs import imports
from app.jobs.import_worker import CHECKPOINT, GROUPS, ImportRequest
from app.ui.data_picker import data_name
from app.ui.messages import errors_in_words
from app.ui.safe_markdown import without_directives
from mocoop.clip.known import KNOWN_CLIPS
from mocoop.clip.names import absolute_name
from mocoop.config import DEMO, NamePosition
from mocoop.runs.status import CANCELLED, FINISHED, INTERRUPTED

POLL_SECONDS = 0.7
MAX_UPLOAD_MB = 1000  # the MoCoOp authors' files hold the whole CLIP and its optimizer


def import_panel() -> None:
    """Shows the form that makes a run of a checkpoint, unless the server is read-only."""
    if access.read_only():
        return
    for note in st.session_state.pop(state.IMPORT_NOTES, ()):
        st.info(without_directives(note), icon=":material/info:")
    key = st.session_state.get(state.IMPORT_JOB)
    status = imports.status_of(key) if key else None
    if key and status is not None and status.active:
        watch(key)
        return
    if key:
        del st.session_state[state.IMPORT_JOB]
        imports.forget(key)
        _tell(status)
    with st.expander(words.IMPORT_PROMPTS, icon=":material/text_fields:"):
        st.caption(words.CAPTION)
        with st.form("import prompts", border=False, clear_on_submit=False):
            file = st.file_uploader(
                words.CHECKPOINT, key=state.PROMPTS_FILE, max_upload_size=MAX_UPLOAD_MB
            )
            request, groups = _settings()
            asked = st.form_submit_button(words.IMPORT, icon=":material/upload_file:")
        if not asked:
            return
        if file is None:
            st.warning(words.CHOOSE_FILE)
            return
        with errors_in_words():
            st.session_state[state.IMPORT_JOB] = _started(file, request, groups)
            st.rerun()


@st.fragment(run_every=POLL_SECONDS)
@errors_in_words()
def watch(key: str) -> None:
    """Shows how far an import is; runs the whole page again at its end."""
    status = imports.status_of(key)
    if status is None or not status.active:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        share = status.done / status.total if status.total else 0.0
        st.progress(min(1.0, share), words.progress(status.done, status.total))
        if st.button(words.CANCEL, icon=":material/stop:", key="cancel import"):
            imports.cancel_import(key)
            st.rerun()
    st.caption(words.GOES_ON)


def _tell(status: imports.ImportStatus | None) -> None:
    """Says how an import ended; after a new run the whole page runs again, with its row."""
    if status is None:
        return
    if status.state == FINISHED:
        st.session_state[state.IMPORTED] = status.run
        st.session_state[state.IMPORT_NOTES] = status.notes
        st.rerun()
    elif status.state == CANCELLED:
        st.info(words.CANCELLED, icon=":material/cancel:")
    elif status.state == INTERRUPTED:
        st.error(without_directives(words.stopped(status.message)), icon=":material/error:")
    else:
        st.error(without_directives(status.message), icon=":material/error:")


def _settings() -> tuple[ImportRequest, Any]:
    """Returns what the form says: a request without its files, and the file of templates."""
    with st.container(horizontal=True):
        data = st.selectbox(
            words.DATA_SET,
            data_list.data_choices(),
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
    request = ImportRequest(
        "", data or "", (clip or "").strip() or DEMO, int(shots), int(seed), position
    )
    return request, groups


def _started(file: Any, request: ImportRequest, groups: Any) -> str:
    """Returns the key of the import that was started.

    Raises:
        UserError: for data or a CLIP that may not be opened here; as `imports.start_import`.
    """
    access.check_clip(request.backbone, st.get_option("server.address"))
    files = {CHECKPOINT: file.getbuffer()}
    request = replace(
        request,
        file=imports.file_name(file.name, "checkpoint"),
        data=data_name(request.data),
        backbone=absolute_name(request.backbone),
    )
    if groups is not None:
        files[GROUPS] = groups.getbuffer()
        request = replace(request, groups=imports.file_name(groups.name, "groups.yaml"))
    return imports.start_import(request, files)

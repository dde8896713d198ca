"""Asks what to write templates for, starts it, and shows how far it is."""

from __future__ import annotations

import streamlit as st

from app.common import access, state
from app.common.words import escape_markdown
from app.jobs import template_jobs
from app.jobs.template_worker import GRAMMAR, LINES, MODEL, MakingRequest
from app.new_templates import tables, words
from app.ui.messages import errors_in_words
from mocoop.clip.names import absolute_name
from mocoop.datasets import Dataset
from mocoop.datasets.base import SPLITS
from mocoop.runs.status import CANCELLED, INTERRUPTED
from mocoop.template_making.endpoint import key_in_use

POLL_SECONDS = 0.7
LONGEST = 1_000_000  # letters of a user's own lines
TABLE_HEIGHT = 320
EMPTY = MakingRequest("", "", "demo")  # what the form begins with
NEWEST = 200  # candidates shown while more come in: they are sent again and again


def form(name: str, dataset: Dataset) -> None:
    """Shows what can be asked for, and the button that starts it.

    It begins with what the request in the page's address asked for.
    """
    before = template_jobs.request_of(st.query_params.get(state.MADE, "")) or EMPTY
    with st.container(horizontal=True, vertical_alignment="bottom"):
        writer = st.segmented_control(
            words.WRITER,
            writers := [GRAMMAR, LINES] if access.read_only() else list(words.WRITERS),
            default=before.writer if before.writer in writers else GRAMMAR,
            required=True,
            format_func=words.WRITERS.__getitem__,
            key=state.MADE_WRITER,
            persist_state="session",
            help=words.WRITER_HELP,
        )
        clip = st.text_input(
            words.CLIP,
            before.clip,
            width=280,
            disabled=access.read_only(),
            key=state.MADE_CLIP,
            persist_state="session",
        )
        seed = st.number_input(
            words.SEED,
            0,
            2**32 - 1,
            before.seed,
            width=110,
            key=state.MADE_SEED,
            persist_state="session",
        )
    writer = writer or GRAMMAR
    about, lines, model, url = "", "", "", ""
    if writer == LINES:
        lines = _own_lines(before.lines)
    else:
        about = st.text_input(
            words.ABOUT,
            before.about,
            key=state.MADE_ABOUT,
            persist_state="session",
            placeholder=words.ABOUT_HINT,
            max_chars=400,
            help=words.ABOUT_HELP,
        )
    if writer == MODEL:
        model, url = _endpoint(before)
    if st.button(words.WRITE, type="primary", icon=":material/edit_note:"):
        clip = clip.strip() or "demo"
        with errors_in_words():
            request = MakingRequest(
                name,
                holds(dataset),
                absolute_name(clip),
                writer,
                " ".join(about.split()),
                lines,
                model.strip(),
                url.strip(),
                int(seed),
            )
            key = template_jobs.start_making(request, st.get_option("server.address"))
            st.session_state[f"{state.MADE} {name}"] = st.query_params[state.MADE] = key
            st.rerun()


def _own_lines(before: str) -> str:
    return st.text_area(
        words.OWN_LINES,
        before,
        key=state.MADE_LINES,
        persist_state="session",
        placeholder=words.OWN_HINT,
        height=180,
        max_chars=LONGEST,
        help=words.own_lines_help(),
    )


def _endpoint(before: MakingRequest) -> tuple[str, str]:
    """Returns the typed name of a chat model and the address of its endpoint."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.text_input(
            words.MODEL_NAME,
            before.model,
            key=state.MADE_MODEL,
            persist_state="session",
            placeholder=words.MODEL_HINT,
            max_chars=200,
            width=280,
        )
        url = st.text_input(
            words.ADDRESS,
            before.url,
            key=state.MADE_URL,
            persist_state="session",
            placeholder=words.ADDRESS_HINT,
            max_chars=500,
            help=words.ADDRESS_HELP,
        )
    st.caption(words.key_of_server(key_in_use()))
    return model, url


def holds(dataset: Dataset) -> str:
    """Returns a data set's class names and sizes as one string."""
    sizes = [str(len(dataset.items(split))) for split in SPLITS]
    return "|".join([*sizes, *dataset.class_names])


def current(name: str, dataset: Dataset) -> tuple[str | None, bool]:
    """Returns the key of the request that is shown, and whether one is out of date.

    It is that of the address, or the last one of the session for this data set.
    """
    old = False
    asked = (st.query_params.get(state.MADE), st.session_state.get(f"{state.MADE} {name}"))
    for key in asked:
        request = template_jobs.request_of(key) if key else None
        if key and request is not None and request.data == name:
            if request.data_holds == holds(dataset):
                st.session_state[f"{state.MADE} {name}"] = st.query_params[state.MADE] = key
                return key, False
            old = True
    return None, old


@st.fragment(run_every=POLL_SECONDS)
@errors_in_words()
def watch(key: str) -> None:
    """Shows how far a request is, and its candidates so far; reruns the page at its end."""
    status = template_jobs.status_of(key)
    if status is None or not status.active:
        st.rerun()
    text = words.progress(status.step, status.done, status.total)
    with st.container(horizontal=True, vertical_alignment="center"):
        share = status.done / status.total if status.total else 0.0
        st.progress(min(1.0, share), text)
        if st.button(words.CANCEL, icon=":material/stop:"):
            template_jobs.cancel_making(key)
            st.rerun()
    judged = template_jobs.candidates_of(key)
    if judged:
        kept = sum(one.kept for one in judged)
        st.caption(words.so_far(kept, len(judged) - kept, min(NEWEST, len(judged))))
        table = tables.candidate_table(judged[-NEWEST:]).iloc[::-1]
        st.dataframe(table, hide_index=True, height=TABLE_HEIGHT, placeholder=words.NOT_TRIED)


def outcome(key: str, state_: str, message: str) -> None:
    """Says why a request has no result.

    Args:
        key: of the request.
        state_: cancelled, failed or interrupted.
        message: of its status.
    """
    if state_ == CANCELLED:
        st.info(words.CANCELLED)
    elif state_ == INTERRUPTED:
        log = str(template_jobs.log_of(key))
        st.error(escape_markdown(words.stopped(message, log)), icon=":material/error:")
    else:
        st.error(escape_markdown(message), icon=":material/error:")

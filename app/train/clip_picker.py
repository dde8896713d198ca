"""The choice of a CLIP on the Train page: what each one is, and its download."""

from __future__ import annotations

import streamlit as st

from app.common.access import check_clip
from app.common.words import escape_markdown
from app.jobs import downloads
from app.jobs.download_worker import DownloadStatus
from app.train import words
from app.train.overfit import default_of
from app.train.settings import setting_key
from app.ui.messages import errors_in_words
from mocoop.clip.hub import HubWeights, cached_file, is_offline
from mocoop.clip.known import KNOWN_CLIPS, weights_of
from mocoop.config import DEMO
from mocoop.markdown import markdown_table
from mocoop.runs.status import CANCELLED, FINISHED

POLL_SECONDS = 1.0


def pick_clip() -> str:
    """Returns the chosen CLIP; below it stand its facts and, if it is missing, its download.

    Raises:
        UserError: for a CLIP that this server does not open.
    """
    key = setting_key("backbone")
    given = st.selectbox(
        words.CLIP,
        [DEMO, *KNOWN_CLIPS],
        format_func=lambda name: words.clip_option(name, is_here(name)),
        key=key,
        accept_new_options=True,
        persist_state="session",
        help=words.CLIP_HELP,
        **default_of(key, index=0),
    )
    name = (given or "").strip() or DEMO
    check_clip(name, st.get_option("server.address"))
    weights = weights_of(name)
    with st.container(gap="xsmall"):
        known = KNOWN_CLIPS.get(name)
        if known is not None and weights is not None:
            st.caption(words.clip_facts(known, weights.page))
        if st.button(words.WHICH_CLIP, icon=":material/help:", type="tertiary"):
            explain_clips()
    if weights is not None:
        _show_weights(name, weights)
    return name


def is_here(name: str) -> bool | None:
    """Returns whether a CLIP's weights are on this machine; None if only loading tells."""
    if name == DEMO:
        return True
    weights = weights_of(name) if name in KNOWN_CLIPS else None
    return None if weights is None else cached_file(weights) is not None


@st.dialog(words.WHICH_CLIP, width="large")
@errors_in_words()
def explain_clips() -> None:
    """Shows the facts of every known CLIP, and which are on this machine."""
    rows: list[tuple[str, ...]] = [(f"`{DEMO}`", *words.DEMO_FACTS, f"**{words.HERE}**")]
    for known in KNOWN_CLIPS.values():
        weights = weights_of(known.name)
        if weights is not None:
            rows.append(words.clip_row(known, weights.page, cached_file(weights) is not None))
    st.markdown(words.CLIPS_IN_WORDS)
    with st.container(height=420, border=False):  # keeps the dialog's end on the screen
        st.markdown(markdown_table(words.CLIP_COLUMNS, rows))
    st.caption(words.SIZE_HELP)


def _show_weights(name: str, weights: HubWeights) -> None:
    """Shows whether weights are on this machine, and their download while it runs."""
    status = downloads.status_of(name)
    active = status is not None and status.active
    st.fragment(_weights, run_every=POLL_SECONDS if active else None)(name, weights, active)


@errors_in_words()
def _weights(name: str, weights: HubWeights, polling: bool) -> None:
    status = downloads.status_of(name)
    if status is not None and status.active:
        _show_progress(name, status)
        return
    if polling:
        st.rerun()  # runs the whole page again, then without polling
    if cached_file(weights) is not None:
        st.badge(words.HERE, icon=":material/check:", color="green")
        return
    offline = is_offline()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(words.MISSING, icon=":material/cloud:", color="gray")
        if not offline and st.button(
            words.DOWNLOAD,
            key="download clip",
            icon=":material/download:",
            help=words.DOWNLOAD_HELP,
        ):
            downloads.start_download(name)
            st.rerun()
    if status is None or status.state == FINISHED:  # finished: somebody removed the file
        if offline:
            st.info(words.offline(weights), icon=":material/cloud_off:")
    elif offline or status.offline:
        st.info(words.offline(weights), icon=":material/cloud_off:")
    elif status.state == CANCELLED:
        st.caption(words.DOWNLOAD_CANCELLED)
    else:
        st.warning(words.download_stopped(escape_markdown(status.message)))


def _show_progress(name: str, status: DownloadStatus) -> None:
    share = status.received / status.total if status.total else 0.0
    st.progress(min(1.0, share), words.download_progress(status.received, status.total))
    if st.button("Cancel", key="cancel clip", icon=":material/stop:"):
        with st.spinner("Stopping …"):
            downloads.cancel_download(name)
        st.rerun()

"""Parts of the page Federated that start, follow, stop and continue federations."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import streamlit as st

from app.caches import data_list
from app.common import access, state
from app.common.words import data_label
from app.federated import words
from app.jobs import federations
from app.ui.data_picker import data_name
from app.ui.messages import errors_in_words
from app.ui.notes import note_soon
from app.ui.safe_markdown import without_directives
from mocoop.errors import UserError
from mocoop.federated.partitions import KINDS
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.strategies import STRATEGIES, find_strategy
from mocoop.results.federated_tables import ALONE
from mocoop.runs.status import Status

POLL_SECONDS = 1.0
SMALL = FederatedConfig(clients=6, rounds=5, local_epochs=3, partition="dirichlet", foreign=3)
OF_FEDERATION = ("clients", "rounds", "local_epochs", "shots", "seed")


def start_panel() -> None:
    """Shows the form of a new federation, and those that are waiting, training or stopped."""
    if access.read_only():
        return
    st.header(words.START_TITLE)
    with errors_in_words():
        config, also_alone = _form()
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(words.START, type="primary", icon=":material/play_arrow:"):
                name = federations.start_federation(config)
                if name not in {path.name for path in federations.active_federations()}:
                    note_soon(words.DONE_BEFORE)
                if also_alone and config.strategy != ALONE:
                    start_alone(config, rerun=False)
                st.query_params[state.FEDERATION] = name
                st.rerun()
        status_line()
        with st.expander(words.COMMAND):
            st.code(command_of(config), language="sh")


def start_alone(config: FederatedConfig, rerun: bool = True) -> None:
    """Starts the federation of the same clients in which each trains alone."""
    federations.start_federation(replace(config, strategy=ALONE))
    if rerun:
        st.rerun()


def command_of(config: FederatedConfig) -> str:
    """Returns the command that trains the same federation."""
    usual = FederatedConfig()
    options = ["mocoop", "federated"]
    for item in fields(config):
        value = getattr(config, item.name)
        if value != getattr(usual, item.name):
            options += [f"--{item.name.replace('_', '-')}", str(value)]
    return shlex.join(options)


def queue_panel() -> None:
    """Shows federations that are not finished; polls their files only while one is active."""
    polling = bool(federations.active_federations())
    st.fragment(_queue, run_every=POLL_SECONDS if polling else None)(polling)


@errors_in_words()
def _queue(polling: bool) -> None:
    active = federations.active_federations()
    if polling and not active:
        st.rerun()  # runs the whole page again, then without polling
    texts = _progress_texts(active)
    for path, status in active.items():
        with st.container(horizontal=True, vertical_alignment="center"):
            share = status.epoch / status.epochs if status.epochs else 0.0
            st.progress(min(1.0, share), texts[path])
            if not access.read_only() and st.button(
                words.CANCEL, key=f"cancel {path.name}", icon=":material/stop:"
            ):
                with st.spinner(words.STOPPING):
                    federations.cancel_federation(path)
                st.rerun()
    if access.read_only():
        return
    for path, status in federations.stopped_federations().items():
        with st.container(horizontal=True, vertical_alignment="center"), errors_in_words():
            st.markdown(without_directives(words.stopped(f"`{path.name}`", status.message)))
            if st.button(words.GO_ON, key=f"go on {path.name}", icon=":material/resume:"):
                federations.go_on(path)
                st.rerun()


def status_line() -> None:
    """Shows what the first active federation does, below the button that starts one.

    Its progress is at the top of the page, out of sight from there.
    """
    if federations.active_federations():
        st.fragment(_status_line, run_every=POLL_SECONDS)()


@errors_in_words()
def _status_line() -> None:
    texts = list(_progress_texts(federations.active_federations()).values())
    if texts:
        st.caption(f":material/hourglass_top: {words.in_progress(texts[0], len(texts) - 1)}")


def _progress_texts(active: Mapping[Path, Status]) -> dict[Path, str]:
    """Returns what each federation does, under the label that it has in the menu."""
    known = {}
    for path in active:
        with suppress(UserError):  # its folder is being written, or was deleted
            known[path.name] = federations.requested(path)
    labels = words.labels(known)
    return {
        path: words.progress(
            labels.get(path.name, path.name), status.state, status.epoch, status.epochs
        )
        for path, status in active.items()
    }


def _form() -> tuple[FederatedConfig, bool]:
    """Returns the settings of a new federation, and whether it is also trained alone."""
    key = f"{state.FEDERATED_FORM} "
    first = st.columns(3)
    with first[0]:
        data = st.selectbox(
            words.DATA, data_list.data_choices(), format_func=data_label, key=key + "data"
        )
    with first[1]:
        strategy = st.selectbox(
            words.STRATEGY,
            list(STRATEGIES),
            index=list(STRATEGIES).index("mocoop"),
            format_func=lambda name: find_strategy(name).label,
            key=key + "strategy",
        )
    with first[2]:
        kind = st.selectbox(
            words.PARTITION,
            KINDS,
            index=KINDS.index(SMALL.partition),
            format_func=words.KINDS.__getitem__,
            key=key + "partition",
        )
    st.caption(f"{find_strategy(strategy).description} {words.EXPLAINED[kind]}")
    labels = (words.CLIENTS, words.ROUNDS, words.EPOCHS, words.SHOTS, words.SEED)
    most = (federations.MOST_CLIENTS, federations.MOST_ROUNDS, 50, 1000, 10**6)
    least = (2, 1, 1, 1, 0)
    values = {}
    *columns, last = st.columns(6)
    for column, name, label, low, high in zip(
        columns, OF_FEDERATION, labels, least, most, strict=True
    ):
        with column:
            values[name] = st.number_input(label, low, high, getattr(SMALL, name), key=key + name)
    with last:
        beta = st.number_input(
            words.BETA,
            0.05,
            1000.0,
            SMALL.beta,
            help=words.BETA_HELP,
            key=key + "beta",
            disabled=kind == "pathological",
        )
    also_alone = st.checkbox(
        words.ALSO_ALONE, value=True, key=key + "alone", disabled=strategy == ALONE
    )
    config = replace(
        SMALL, data=data_name(data or ""), strategy=strategy, partition=kind, beta=beta, **values
    )
    return config, also_alone

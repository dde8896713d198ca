"""Parts of the page Federated: the choice of a federation, and what it shows."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import streamlit as st

from app.caches import data as data_caches
from app.common import access, state
from app.common.words import escape_markdown
from app.federated import figures, tables, words
from app.federated.start_view import start_alone
from app.jobs.federations import (
    Found,
    active_federations,
    found_folders,
    open_federation,
)
from app.ui.layout import tiles
from app.ui.parts import show_figure, show_table
from mocoop.errors import UserError
from mocoop.federated.federation import RoundRecord
from mocoop.federated.strategies import find_strategy
from mocoop.results.federated_tables import ALONE


def all_federations() -> dict[str, Found]:
    """Returns name → federation of all that can be read; says which cannot."""
    found = {}
    for name, path in found_folders().items():
        try:
            found[name] = _open(str(path), _stamp(path))
        except UserError as error:
            st.caption(escape_markdown(words.damaged(name, str(error))))
    return found


def _stamp(path: Path) -> float:
    """Returns when a folder last changed; a file in it is replaced after every round."""
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


@st.cache_data(show_spinner=False, max_entries=200)
def _open(path: str, stamp: float) -> Found:
    return open_federation(Path(path))


def pick_federation(found: dict[str, Found]) -> Found:
    """Returns the chosen federation, whose name is in the address."""
    asked = st.query_params.get(state.FEDERATION)
    if asked is not None and asked not in found:
        if asked in {path.name for path in active_federations()}:
            st.info(words.AT_ITS_START, icon=":material/hourglass_empty:")
        else:
            st.warning(escape_markdown(words.no_such(asked)))
    default = next((name for name, one in found.items() if one.config.strategy != ALONE), None)
    chosen = asked if asked in found else default or next(iter(found))
    memory = st.session_state
    # The page chooses too, while it polls: the browser may still send its earlier choice. So the
    # box gets another key each time, and what is sent under the old one counts no more.
    if memory.get(state.FEDERATION_SHOWN) != chosen:
        memory[state.FEDERATION_SHOWN] = chosen
        memory[state.FEDERATION_CHANGES] = memory.get(state.FEDERATION_CHANGES, 0) + 1
    key = f"{state.FEDERATION} {memory[state.FEDERATION_CHANGES]}"
    memory[key] = chosen

    def write() -> None:
        st.query_params[state.FEDERATION] = memory[state.FEDERATION_SHOWN] = memory[key]

    st.selectbox(
        words.FEDERATION,
        list(found),
        format_func=words.labels({name: one.config for name, one in found.items()}).__getitem__,
        key=key,
        on_change=write,
        width=760,
        label_visibility="collapsed",
    )
    return found[chosen]


def facts(shown: Found) -> None:
    """Shows what the federation is in one sentence, and its numbers."""
    strategy = find_strategy(shown.config.strategy)
    st.markdown(f"{strategy.description} {words.EXPLAINED[shown.config.partition]}")
    if not shown.records:
        return
    first, last = shown.records[0], shown.records[-1]
    sent = last.floats_sent / max(1, len(last.took_part) - len(last.refused))
    with tiles("card", "federation"):
        st.metric(words.CLIENTS, len(shown.partition.clients))
        st.metric(words.ROUNDS, f"{last.number} / {shown.config.rounds}")
        st.metric(words.BEFORE_TRAINING, f"{first.mean:.1f} %")
        st.metric(words.NOW, f"{last.mean:.1f} %", help=words.NOW_HELP)
        st.metric(words.SENT, words.number_of_bytes(sent), help=words.SENT_HELP)
        if last.epsilon is not None:
            st.metric(
                words.EPSILON,
                f"{last.epsilon:.3g}",
                help=words.epsilon_help(shown.config.delta),
            )


def holdings(shown: Found) -> None:
    """Shows who has how many pictures of which class or style."""
    st.header(words.WHO_HAS_WHAT)
    dataset = data_caches.dataset(shown.partition.data)
    with st.container(horizontal=True):
        by_style = False
        if len(dataset.styles) > 1:
            default = words.STYLES if shown.config.partition == "domain" else words.CLASSES
            choice = st.segmented_control(
                words.BY, (words.CLASSES, words.STYLES), default=default, key=state.FEDERATED_BY
            )
            by_style = (choice or default) == words.STYLES
        part = st.segmented_control(
            words.PART,
            list(words.PARTS),
            format_func=words.PARTS.__getitem__,
            default="train",
            key=state.FEDERATED_PART,
        )
    counts = tables.holdings(shown.partition, dataset, by_style, part or "train")
    figure = figures.count_map(counts, words.HOLDINGS_HOVER)
    show_figure(figure, "who-has-what", words.HOLDINGS_ALT, counts, index=True)


def by_round(shown: Found) -> None:
    """Shows every client's accuracy by round, and which updates were left out."""
    st.header(words.BY_ROUND)
    table = tables.accuracy_table(shown.records)
    clients = [client.name for client in shown.partition.clients]
    marked = st.selectbox(
        words.MARK, [words.NO_CLIENT, *clients], key=state.FEDERATED_CLIENT, width=240
    )
    figure = figures.round_lines(table, None if marked == words.NO_CLIENT else marked)
    show_figure(figure, "accuracy-by-round", words.ROUNDS_ALT, table, index=True)
    refused = tables.left_out(shown.records)
    if len(refused):
        st.markdown(f"**{words.LEFT_OUT}**")
        show_table(refused, "left-out")


def gain(shown: Found, found: dict[str, Found]) -> None:
    """Shows what every client gains over training alone."""
    st.header(words.GAIN_TITLE)
    if shown.config.strategy == ALONE:
        st.caption(words.THIS_IS_ALONE)
        return
    if not shown.finished:
        st.caption(words.NOT_FINISHED)
        return
    alone = tables.alone_of(shown, found.values())
    if alone is None:
        st.caption(words.NO_PAIR)
        if not access.read_only() and st.button(words.TRAIN_ALONE, icon=":material/person:"):
            start_alone(shown.config)
        return
    table = tables.gains(shown.records, alone.records)
    clients = table[words.GAIN].iloc[:-1]
    mean = float(table[words.GAIN].iloc[-1])
    better, rounds = int((clients > 0).sum()), shown.config.rounds
    st.caption(words.gain_in_words(mean, better, len(clients), rounds))
    show_figure(figures.gain_bars(table), "gain-over-alone", words.GAIN_ALT, table)


def prompts_of_others(shown: Found) -> None:
    """Shows whose prompts each client received."""
    st.header(words.PROMPTS_OF_OTHERS)
    strategy = find_strategy(shown.config.strategy)
    if not strategy.foreign:
        st.caption(words.SAME_FOR_ALL if strategy.shared else words.NOTHING_COMES)
        return
    clients = [client.name for client in shown.partition.clients]
    counts = tables.taken_prompts(shown.records, clients)
    st.caption(words.HOW_TAKEN)
    figure = figures.count_map(counts, words.TAKEN_HOVER)
    show_figure(figure, "prompts-of-others", words.TAKEN_ALT, counts, index=True)


def has_records(records: tuple[RoundRecord, ...]) -> bool:
    """Returns whether at least one round is done."""
    return bool(records) and records[-1].number > 0

"""The parts that show, for one picture, where the image tower looks and what an answer needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from app.caches import run_list
from app.common import state
from app.common.theme import TRAIN, WRONG, expert_colours
from app.routing import cached_looking as cached
from app.routing import looking_figures as figures
from app.routing import looking_words as words
from app.ui import chips, layout
from app.ui.parts import show_figure
from mocoop.analysis.attention import TowerAttention
from mocoop.errors import UserError
from mocoop.evaluation.occlusion import Occlusion
from mocoop.runs.run import Run

SHARES = [2, 3]  # of the width, for a map and for what belongs to it


def look_into(run: Run, image: Image.Image, labels: range | None = None) -> None:
    """Shows two parts that compute nothing until they are opened: attention, and covering.

    Args:
        run: a finished run.
        image: the picture, RGB.
        labels: the classes that can be predicted; by default all that the run knows.
    """
    looks = st.expander(
        words.WHERE, key=state.LOOKS, icon=":material/visibility:", bind=state.QUERY
    )
    if looks.open:
        with looks:
            where_it_looks(run, image)
    covers = st.expander(words.MATTERS, key=state.COVERS, icon=":material/crop:", bind=state.QUERY)
    if covers.open:
        with covers:
            what_it_needs(run, image, labels)


def where_it_looks(run: Run, image: Image.Image) -> None:
    """Shows the attention of a token of the image tower over the picture."""
    setup, expert = run_list.setup_of(run), 0
    try:
        found = cached.attention_of(run, image)
        left, right = layout.wrapping_columns(SHARES, "looks")
        if setup.config.expert_vision_depth:
            expert = pick_looker(setup.experts, right)
            found = cached.attention_of(run, image, expert)
    except UserError as error:
        st.info(words.no_attention(str(error)))
        return
    with right:
        whose, row = pick_attention(found)
    shares = found.on_patches(row).numpy()
    where = strongest(shares)
    with left:
        figure = figures.attention_map(cached.seen_png(run, image), shares)
        table = figures.map_table(100 * shares, words.OF_ATTENTION)
        show_figure(figure, "attention", words.attention_alt(whose, where), table)
    with right:
        patches, cls, learned = (float(share) for share in found.shares(row))
        parts = (patches, cls, learned)
        told = words.attention_told(parts, where, float(shares.max()), patches / shares.size)
        st.markdown(told)
        st.caption(words.WHERE_CAPTION)


def pick_looker(experts: Sequence[str], place: DeltaGenerator) -> int:
    """Returns the index of the expert whose last blocks are shown."""
    chosen = place.selectbox(
        words.LOOKER, experts, key=state.LOOKS_FOR, bind=state.QUERY, help=words.LOOKER_HELP
    )
    return experts.index(chosen)


def pick_attention(found: TowerAttention) -> tuple[str, Tensor]:
    """Returns whose attention is to be shown, and this attention (keys)."""
    reader = words.reader(found.reads_cls)
    how = st.segmented_control(
        words.HOW,
        [words.BLOCK, words.ROLLOUT],
        default=words.BLOCK,
        required=True,
        key=state.LOOKS_BY,
        bind=state.QUERY,
        help=words.HOW_HELP,
    )
    if how == words.ROLLOUT:
        return reader, found.rollout()[0]
    count, block = len(found.blocks), 1
    if count > 1:
        block = st.slider(
            words.WHICH_BLOCK, 1, count, count, key=f"{state.LOOKS_AT}_{count}", bind=state.QUERY
        )
    learned = found.of_learned(block - 1)[0]  # (count, keys)
    if not (found.depth or found.late):
        return reader, found.of_reader(block - 1)[0]
    if not len(learned):
        if found.has_own_tokens(block - 1):
            st.caption(words.KEYS_ONLY)
        return reader, found.of_reader(block - 1)[0]
    names = [words.token(number + 1) for number in range(len(learned))]
    whose = st.selectbox(
        words.WHOSE,
        [reader, words.ALL_LEARNED, *names],
        key=state.LOOKS_WHO,
        bind=state.QUERY,
    )
    if not found.has_own_tokens(block - 1):
        st.caption(words.PASSED_ON)
    if whose == words.ALL_LEARNED:
        return whose, learned.mean(dim=0)
    if whose in names:
        return whose, learned[names.index(whose)]
    return reader, found.of_reader(block - 1)[0]


def what_it_needs(run: Run, image: Image.Image, labels: range | None) -> None:
    """Shows which places of the picture move two experts apart, or change the answer."""
    left, right = layout.wrapping_columns(SHARES, "covers")
    with right:
        size = st.segmented_control(
            words.SQUARE,
            list(words.SQUARES),
            default="medium",
            required=True,
            key=state.COVERS_SIZE,
            bind=state.QUERY,
            help=words.SQUARE_HELP,
        )
    with left:
        found = cached.occlusion_of(run, image, words.SQUARES[size], labels)
        picture = cached.seen_png(run, image)
    label = int(found.plain.probabilities[0].argmax())
    if len(found.plain.experts) > 1:
        with right:
            shown = st.segmented_control(
                words.SHOW,
                [words.DIFFER, words.ANSWER],
                default=words.DIFFER,
                required=True,
                key=state.COVERS_SHOW,
                bind=state.QUERY,
            )
        if shown == words.DIFFER:
            with right:
                pair = pick_experts(found)
            if pair[0] == pair[1]:
                right.info(words.SAME_EXPERT)
                return
            two_experts(found, picture, pair, label, left, right)
            return
    the_answer(found, picture, label, left, right)


def pick_experts(found: Occlusion) -> tuple[int, int]:
    """Returns the indices of two experts; without a choice, those that the router prefers."""
    experts = found.plain.experts
    weights, scores = found.plain.weights[0], found.plain.scores[0]
    order = sorted(range(len(experts)), key=lambda e: (-float(weights[e]), -float(scores[e])))
    picked = []
    keys = (words.FIRST, state.COVERS_FIRST), (words.SECOND, state.COVERS_SECOND)
    columns = st.columns(2)
    for column, (label, key), usual in zip(columns, keys, order[:2], strict=True):
        name = column.selectbox(
            label,
            experts,
            index=None,
            placeholder=words.chosen(experts[usual]),
            key=key,
            bind=state.QUERY,
        )
        picked.append(usual if name is None else experts.index(name))
    return picked[0], picked[1]


def two_experts(
    found: Occlusion,
    picture: bytes,
    pair: tuple[int, int],
    label: int,
    left: DeltaGenerator,
    right: DeltaGenerator,
) -> None:
    """Shows the map of the places that move two experts apart about the predicted class."""
    routed = found.plain
    name, alone = routed.class_names[label], routed.expert_probabilities[0]
    names = routed.experts[pair[0]], routed.experts[pair[1]]
    said = [(routed.experts[e], float(alone[e, label])) for e in pair]
    falls = found.difference(*pair, label).numpy()
    where, change = most_changed(falls)
    colours = expert_colours(routed.experts)
    hues = [colours[one] for one in names]
    with left:
        figure = figures.change_map(picture, falls, hues, words.DIFFER_HOVER)
        table = figures.map_table(-falls, words.CHANGE_LOGIT)
        show_figure(figure, "experts-differ", words.differ_alt(names, where), table)
    with right:
        st.markdown(words.experts_say(name))
        st.html(chips.expert_names(said, colours))
        small = abs(change) < words.LEAST_LOGIT
        st.markdown(
            words.NOTHING_MOVES if small else words.differ_told(name, names, change, where)
        )


def the_answer(
    found: Occlusion,
    picture: bytes,
    label: int,
    left: DeltaGenerator,
    right: DeltaGenerator,
) -> None:
    """Shows the map of the places that change the predicted class's probability."""
    name = found.plain.class_names[label]
    falls = 100 * found.drop(label).numpy()
    where, change = most_changed(falls)
    with left:
        figure = figures.change_map(picture, falls, (TRAIN, WRONG), words.ANSWER_HOVER)
        table = figures.map_table(falls, words.CHANGE_PROBABILITY)
        show_figure(figure, "answer-needs", words.answer_alt(name, where), table)
    with right:
        small = abs(change) < words.LEAST_POINTS
        probability = float(found.plain.probabilities[0, label])
        told = words.answer_told(name, probability, change / 100, where)
        st.markdown(words.NOTHING_MOVES if small else told)


def strongest(values: np.ndarray) -> str:
    """Returns in words where a map (rows, columns) has its largest value."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    return words.place(int(row), int(column), *values.shape)


def most_changed(falls: np.ndarray) -> tuple[str, float]:
    """Returns in words where a map's number is farthest from 0, and this number."""
    magnitude = np.abs(falls)
    return strongest(magnitude), float(falls.flat[magnitude.argmax()])

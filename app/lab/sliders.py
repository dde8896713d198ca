"""The sliders of the Overfitting lab: from what the user chose to the lab's settings."""

from __future__ import annotations

import streamlit as st

from app.common import state
from app.jobs.seeds import SEEDS
from app.lab import experiment_words, words
from mocoop.datasets import BUILTIN
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.protocols.lab import OWN_RATE, OWN_WEIGHTS, LabSettings

SHOTS = (1, 2, 4, 8, 16)
WEIGHTS = (0.0, 0.2, 1.0, 2.0, 5.0, 10.0, 20.0)
RATES = (OWN_RATE / 4, OWN_RATE, 4 * OWN_RATE)
LENGTHS = (40, 80, 160)
MOST = 2**32 - 1  # the largest seed


def own_weights() -> str:
    """Returns each method's own weight of the text loss in words."""
    return " and ".join(f"{METHODS[m].label} {weight:g}" for m, weight in OWN_WEIGHTS.items())


def pick_settings() -> tuple[LabSettings, ...]:
    """Returns the settings that the user chose with the sliders, one for each seed.

    Raises:
        UserError: if what was typed as a seed is no seed.
    """
    default = LabSettings()
    with st.container(horizontal=True, gap="medium"):
        data = st.selectbox(
            experiment_words.DATA_SET,
            BUILTIN,
            index=BUILTIN.index(default.data),
            key=state.LAB_DATA,
            bind=state.QUERY,
            width=125,
        )
        shots = st.select_slider(
            experiment_words.SHOTS,
            SHOTS,
            value=default.shots,
            key=state.LAB_SHOTS,
            bind=state.QUERY,
            width=160,
        )
        rate = st.select_slider(
            experiment_words.own_rate(OWN_RATE),
            RATES,
            value=default.learning_rate,
            format_func="{:g}".format,
            key=state.LAB_RATE,
            bind=state.QUERY,
            width=190,
            help=experiment_words.own_rate_help(OWN_RATE),
        )
        weight = st.select_slider(
            experiment_words.WEIGHT,
            WEIGHTS,
            value=default.text_weight,
            format_func="{:g}".format,
            key=state.LAB_WEIGHT,
            bind=state.QUERY,
            width=190,
            help=experiment_words.weight_help(own_weights()),
        )
        seed = st.selectbox(
            experiment_words.SEED,
            (words.ALL_SEEDS, *map(str, SEEDS)),
            key=state.LAB_SEED,
            bind=state.QUERY,
            accept_new_options=True,
            width=95,
            help=words.SEED_HELP,
        )
        length = st.segmented_control(
            experiment_words.LENGTH,
            LENGTHS,
            default=default.epochs,
            required=True,
            key=state.LAB_LENGTH,
            bind=state.QUERY,
            width=175,
            help=experiment_words.LENGTH_HELP,
        )
    epochs = int(length or default.epochs)
    return tuple(
        LabSettings(data, int(shots), one, float(weight), epochs, float(rate))
        for one in seeds_of(seed or words.ALL_SEEDS)
    )


def seeds_of(chosen: str) -> tuple[int, ...]:
    """Returns the seeds that an entry of the menu stands for, or the one that was typed.

    Raises:
        UserError: if it is no whole number from 0 to 4294967295.
    """
    text = chosen.strip()
    if text == words.ALL_SEEDS:
        return SEEDS
    # The length comes first: Python refuses to read a number of thousands of digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= MOST):
        raise UserError(experiment_words.no_seed(text, MOST))
    return (int(text),)

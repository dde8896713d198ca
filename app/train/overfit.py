"""The button that fills the Train page's form with settings that overfit."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import streamlit as st

from app.common import state
from app.train import words
from app.train.settings import overfitting, setting_key
from mocoop.config import TrainConfig
from mocoop.presets import preset


def overfit_button() -> None:
    """Shows the button, whose settings are in the form when the page runs next."""
    st.button(
        words.OVERFIT_ME,
        key="overfit",
        icon=":material/trending_down:",
        type="tertiary",
        help=words.OVERFIT_HELP,
        on_click=_fill_in,
        args=(overfitting(),),
    )


def default_of(key: str, **default: Any) -> dict[str, Any]:
    """Returns a widget's default as its argument; nothing if its value has just been filled in.

    Streamlit warns of a widget that has both.
    """
    return {} if key in st.session_state.get(state.FILLED, ()) else default


def form_is_shown() -> None:
    """Is called when all widgets of the form exist and hold what was filled in."""
    st.session_state.pop(state.FILLED, None)


def _fill_in(config: TrainConfig) -> None:
    """Puts settings into the form; each widget must hold the setting's own value."""
    memory = st.session_state
    filled: dict[str, Any] = {
        state.METHOD: config.method,
        state.SHOTS: config.shots,
        state.TRAIN_ON: config.classes,
        state.SEED: config.seed,
        state.START: "",
        setting_key("backbone"): config.backbone,
        setting_key(f"style {config.data}"): None,
    }
    own = preset(config.method, config.backbone, config.data)
    for item in fields(config):
        key, value = setting_key(item.name, config), getattr(config, item.name)
        if key in memory or value != getattr(own, item.name):
            filled[key] = value
    for key, value in filled.items():
        memory[key] = value
    memory[state.DATA_NEXT] = config.data
    memory[state.FILLED] = frozenset(filled)
    memory.pop(f"{state.TEMPLATES_EDITED} {config.data}", None)

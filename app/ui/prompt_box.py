"""A box for a typed prompt, and the button that starts a training from it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.caches import answers as answer_caches
from app.common import access, state
from app.common.words import escape_markdown
from app.ui import words
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.evaluation.typed_prompt import EXAMPLE, typed_template
from mocoop.method_record import ONE_PROMPT
from mocoop.methods import MENU, METHODS

LONGEST = 4000  # letters that the box takes; every CLIP reads fewer


def prompt_box(config: TrainConfig, label: str = words.YOUR_PROMPT) -> str | None:
    """Returns the typed template, checked for a run's CLIP and class names.

    None if nothing is typed, or if it cannot be used: then a sentence says what to do.

    Args:
        config: the settings of the run, which name its CLIP and its data set.
        label: of the box.
    """
    text = st.text_input(
        label,
        key=state.TYPED,
        bind=state.QUERY,
        placeholder=EXAMPLE,
        max_chars=LONGEST,
        help=words.PROMPT_HELP,
    )
    return checked(config, text) if text.strip() else None


def checked(config: TrainConfig, text: str) -> str | None:
    """Returns a text as a template that the CLIP can read, or None after saying what to do."""
    try:
        template = typed_template(text)
        answer_caches.text_features(config.backbone, config.data, template)
    except UserError as error:
        st.warning(escape_markdown(str(error)), icon=":material/edit:")
        return None
    return template


def examples(templates: Sequence[str]) -> None:
    """Shows sentences to try; a click puts one into the box."""
    with st.container(horizontal=True, gap="small"):
        for template in templates:
            st.button(
                escape_markdown(template),
                key=f"try {template}",
                type="tertiary",
                on_click=_write,
                args=(template,),
            )


def _write(template: str) -> None:
    st.session_state[state.TYPED] = template


def learn_from_here(config: TrainConfig, template: str) -> None:
    """Shows the button that opens the Train page with the sentence as the start of one prompt.

    Args:
        config: the settings of the run that is looked at; its data set is trained on.
        template: the checked template.
    """
    if access.read_only():
        return
    one_prompt = METHODS[config.method].family == ONE_PROMPT
    method = config.method if one_prompt else "coop"
    if st.button(
        words.LEARN_FROM_HERE,
        icon=":material/model_training:",
        help=words.learn_from_here_help(MENU[method].label),
    ):
        st.session_state[state.DATA_NEXT] = config.data
        st.switch_page(
            "pages/train.py", query_params={state.METHOD: method, state.START: template}
        )

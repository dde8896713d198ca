"""The drawing of CLIP's two towers on the Train page, with a sentence of what is learned."""

from __future__ import annotations

import streamlit as st

from app.common.words import escape_markdown
from app.train.tower_parts import learned_parts
from app.train.tower_picture import towers_svg
from mocoop.clip.depths import tower_depths
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.model.hard_prompts import expert_groups


def draw_towers(config: TrainConfig, dataset: Dataset) -> None:
    """Shows which parts of the two towers, and beside them, the chosen settings learn."""
    parts = learned_parts(config, len(expert_groups(config, dataset.templates)))
    with st.container(gap="xsmall"):
        st.markdown(towers_svg(parts, tower_depths(config.backbone)), unsafe_allow_html=True)
        st.caption(escape_markdown(parts.in_words()))

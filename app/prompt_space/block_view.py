"""The part of the Prompt space page on tokens in the towers' blocks: how far each moved."""

from __future__ import annotations

import streamlit as st

from app.common.theme import expert_colours
from app.prompt_space import cached, figures, tables, words
from app.ui.parts import show_figure
from mocoop.config import TrainConfig
from mocoop.runs.run import Run, RunSetup


def has_block_tokens(config: TrainConfig) -> bool:
    """Returns whether a run learns tokens in the blocks of a tower."""
    in_images = config.vision_depth > 0 or config.expert_vision_depth > 0
    return config.text_depth > 1 or bool(config.text_keys) or in_images


def block_by_block(run: Run, setup: RunSetup, epoch: int) -> None:
    """Shows how far the learned tokens of each block moved until an epoch."""
    if not has_block_tokens(setup.config):
        return
    st.header(words.BLOCKS)
    table = tables.block_frame(cached.records(run), setup.experts)
    if table.empty:
        st.caption(words.NO_BLOCKS)
        return
    st.markdown(words.blocks_moved(epoch))
    colours = expert_colours(setup.experts)
    figure = figures.block_bars(table, epoch, colours)
    show_figure(figure, "drift-per-block", words.BLOCKS_ALT, table)
    st.caption(words.BLOCKS_HELP)

"""The Prompt space page: how far learned prompts moved, in numbers and on a map."""

from __future__ import annotations

import streamlit as st

from app.caches.run_list import setup_of
from app.common.methods import learns_prompts
from app.prompt_space import map_view, words
from app.prompt_space import view as space_view
from app.prompt_space.block_view import block_by_block
from app.prompt_space.group_view import group_by_group
from app.ui.entry import inside_the_app
from app.ui.glossary import words_on_this_page
from app.ui.messages import errors_in_words
from app.ui.run_picker import pick_run
from mocoop.runs.run import Run


def page(run: Run) -> None:
    setup = setup_of(run)
    if not learns_prompts(setup.config):
        space_view.nothing_to_see(setup.config)
        return
    if setup.config.conditional:
        st.info(words.CONDITIONAL)
    epoch = space_view.pick_epoch(run)
    space_view.numbers(run, setup, epoch)
    block_by_block(run, setup, epoch)
    st.header(words.MAP)
    choice = map_view.pick_map(epoch)
    projection = map_view.drawn_map(run, choice.settings)
    points = map_view.the_map(run, setup, projection, choice)
    if points is not None:
        group_by_group(run, setup, projection, points, epoch)
    space_view.behind_a_point(run, setup)


inside_the_app()
st.title(words.TITLE)
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(words.CAPTION, width="content")
    words_on_this_page("soft prompt", "hard prompt", "group", "expert", "style")
with errors_in_words():
    page(pick_run(words.WHAT_FOR))

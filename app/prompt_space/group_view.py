"""The part of the Prompt space page with one small map per group."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from app.prompt_space import cached, tables, words
from app.ui.parts import show_figure
from mocoop.analysis.projection import Projection
from mocoop.runs.run import Run, RunSetup


def group_by_group(
    run: Run, setup: RunSetup, projection: Projection, points: pd.DataFrame, epoch: int
) -> None:
    """Shows a small map per group, whose arrows follow the soft prompts over the epochs.

    Args:
        run: a finished run that learned prompts.
        setup: its setup.
        projection: the map that is shown above.
        points: its points of the drawn classes, in all epochs.
        epoch: the epoch that is shown.
    """
    several = len(setup.experts) > 1
    st.header(words.GROUPS if several else words.GROUPS_ONE)
    epochs = sorted(points["epoch"].dropna().astype(int).unique().tolist())
    st.caption(words.groups_caption(epochs, several))
    settings = projection.settings
    if settings.dims == 3:
        st.caption(words.GROUPS_FLAT)
        settings = replace(settings, method="pca", dims=2)
        flat = cached.projection(run, settings)
        table = tables.map_table(flat, setup.groups, setup.class_names)
        points = table[table["class"].isin(points["class"].unique())]
    figure = cached.group_figure(run, settings, points["class"].unique().tolist(), epoch)
    show_figure(figure, "group-maps", words.GROUPS_ALT, points)

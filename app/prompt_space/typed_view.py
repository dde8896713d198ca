"""A typed prompt on the map: where it stands, and which groups it is near to."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from torch import Tensor

from app.caches import answers as answer_caches
from app.caches import data as data_caches
from app.caches.run_list import stamp_of
from app.common.words import escape_markdown
from app.prompt_space import tables, words
from app.ui.messages import errors_in_words
from app.ui.parts import show_table
from app.ui.prompt_box import learn_from_here, prompt_box
from mocoop.analysis.placing import nearness, place
from mocoop.analysis.projection import Projection
from mocoop.classifiers.saved import check_same_data
from mocoop.runs.run import Run, RunSetup, open_run

COLUMNS = {
    "cosine": st.column_config.NumberColumn(words.MEAN_COSINE, format="%.3f"),
    "nearest": st.column_config.ProgressColumn(
        words.NEAREST_FOR, format=words.OF_CLASSES, max_value=100
    ),
}


def typed_on_map(run: Run, setup: RunSetup, projection: Projection) -> pd.DataFrame | None:
    """Shows the box and the groups near a typed prompt; returns its points, None without one.

    Args:
        run: a finished run that learned prompts.
        setup: its setup.
        projection: the map that is shown.
    """
    template = prompt_box(setup.config, words.TYPED_BOX)
    if template is None:
        return None
    with errors_in_words():  # the map itself is shown without the data too
        return _points(run, setup, projection, template)
    return None


def _points(run: Run, setup: RunSetup, projection: Projection, template: str) -> pd.DataFrame:
    """Shows the groups near a prompt and returns its points.

    Raises:
        UserError: if the data set or the CLIP has changed since the training.
    """
    config = setup.config
    data, clip = data_caches.dataset(config.data), data_caches.backbone(config.backbone)
    check_same_data(run, setup, data, clip)
    text = answer_caches.text_features(config.backbone, config.data, template)
    places = place(projection, text[list(projection.classes)])
    near = nearness(text, _prototypes(str(run.path), stamp_of(run)))
    table = tables.nearness_table(near, setup.experts)
    first = table.iloc[0]
    st.markdown(
        escape_markdown(words.typed_nearest(template, first["group"], float(first["cosine"])))
    )
    if projection.settings.method == "umap":
        st.caption(words.TYPED_UMAP)
    with st.expander(words.TYPED_GROUPS):
        show_table(table, "typed-nearness", column_config=COLUMNS)
        learn_from_here(config, template)
    return tables.typed_points(places, template, projection.classes, setup.class_names)


@st.cache_resource(show_spinner=False, max_entries=8)
def _prototypes(path: str, stamp: float) -> Tensor:
    return open_run(path).features().prototypes

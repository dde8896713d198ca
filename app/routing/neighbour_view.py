"""A row of the training images that are nearest to a picture by cosine similarity."""

from __future__ import annotations

import streamlit as st
from torch import Tensor

from app.caches import data as data_caches
from app.caches import run_list
from app.caches import runs as run_caches
from app.routing import words
from app.ui.item_picture import show_item
from mocoop.analysis.neighbours import nearest
from mocoop.clip.tuned_tower import routed_features
from mocoop.runs.run import Run

COUNT, SIDE = 6, 128  # number of images; width of their thumbnails in pixels


def nearest_training_images(run: Run, query: Tensor) -> None:
    """Shows the training images of a run that are nearest to a picture.

    Args:
        run: a finished run.
        query: the picture's features, from the run's CLIP.
    """
    known = run_caches.training_images(run)
    setup = run_list.setup_of(run)
    names, data = setup.class_names, data_caches.dataset(setup.config.data)
    st.markdown(words.NEAREST, help=words.NEAREST_HELP)
    with st.container(horizontal=True, gap="small"):
        feature = routed_features(query, known.features.shape[1])
        for near in nearest(feature, known.features, known.items, COUNT):
            item, label = near.item, names[near.item.label]
            with st.container(width=SIDE, gap="xsmall"):
                show_item(data, item, SIDE, words.training_image(label, item.style), SIDE)
                st.caption(words.near(label, item.style, near.cosine))

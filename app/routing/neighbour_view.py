"""A row of training images that a picture is most like, as true cosine distance tells."""

from __future__ import annotations

import streamlit as st
from torch import Tensor

from app.caches import data as data_caches
from app.caches import runs as run_caches
from mocoop.analysis.neighbours import nearest
from mocoop.runs.run import Run

COUNT, SIDE = 6, 96  # images, and pixels of their thumbnails


def nearest_training_images(run: Run, query: Tensor) -> None:
    """Shows which of a run's training images are nearest to a picture.

    Args:
        run: a finished run.
        query: the picture's feature (dim,), from the run's own CLIP.
    """
    known = run_caches.training_images(run)
    setup = run.setup()
    names, data = setup.class_names, setup.config.data
    st.markdown(
        "**Nearest training images**",
        help="Of the few images this run was trained on, those whose CLIP features have the "
        "largest cosine with this picture's: 1 is the same direction.",
    )
    with st.container(horizontal=True, gap="small"):
        for near in nearest(query, known.features, known.items, COUNT):
            item, label = near.item, names[near.item.label]
            with st.container(width=SIDE, gap="xsmall"):
                png = data_caches.thumbnail(data, item.id, item.label, item.style, SIDE)
                st.image(png, width=SIDE, alt=f"{label}, {item.style or 'a training image'}")
                style = f", {item.style}" if item.style else ""
                st.caption(f"{label}{style}  \ncosine {near.cosine:.2f}")

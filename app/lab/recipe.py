"""The text that says how the trainings of the Overfitting lab were made."""

from __future__ import annotations

import streamlit as st

from app.lab.view import grid
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.protocols.lab import LEARNING_RATE
from mocoop.protocols.lab import METHODS as LAB_METHODS


def recipe() -> None:
    """Says how the trainings were made, and why not with the usual recipes."""
    with st.expander("How these were trained", icon=":material/info:"):
        usual = {method: preset(method).learning_rate for method in LAB_METHODS}
        rates = ", ".join(f"{METHODS[m].label} {rate:g}" for m, rate in usual.items())
        st.markdown(
            "All methods see the same images of the base half of the classes, drawn by the same "
            f"seed, at the same constant learning rate of {LEARNING_RATE:g}, without warm-up. "
            "This is **not** the best way to train them, and that is on purpose. The recipes "
            f"chosen on validation images have learning rates of {rates}, a cosine schedule and "
            "12 epochs; with them a single prompt hardly overfits on this small CLIP. The page "
            "shows trainings that come with the project (`mocoop lab-grid` makes them again). "
            "Trainings with other settings are made on this machine."
        )
        try:
            known = grid()
        except UserError:
            return
        axes = known.axes
        st.caption(
            f"Trainings in the project: {', '.join(axes.data)}; "
            f"{', '.join(map(str, axes.shots))} images per class; "
            f"weights {', '.join(f'{weight:g}' for weight in axes.text_weights)}; seeds "
            f"{', '.join(map(str, axes.seeds))}; {axes.epochs} epochs; "
            f"{len(known.runs)} trainings."
        )

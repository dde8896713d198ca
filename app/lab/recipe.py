"""The text that says how the trainings of the Overfitting lab were made."""

from __future__ import annotations

import streamlit as st

from app.lab.sliders import own_weights
from app.lab.view import grid
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.protocols.lab import COOP, OWN_RATE


def recipe() -> None:
    """Says how the trainings were made, and how that differs from the usual recipes."""
    with st.expander("How these were trained", icon=":material/info:"):
        st.markdown(
            "All methods see the same images of the base half of the classes, drawn by the same "
            f"seed. The learning rate of {OWN_RATE:g} is the **own rate** of all three: it was "
            "chosen on validation images, as was the weight of the text loss "
            f"({own_weights()}). Only two things differ from the usual recipe: the rate is "
            f"constant, without warm-up or decay, and trainings are longer than the usual "
            f"{preset(COOP).epochs} epochs. So the first epochs of a long training are exactly a "
            "shorter one. The page shows trainings that come with the project (`mocoop lab-grid` "
            "makes them again). Trainings with other settings are made on this machine."
        )
        try:
            known = grid()
        except UserError:
            return
        axes = known.axes
        st.caption(
            f"Trainings in the project: {', '.join(axes.data)}; "
            f"{', '.join(map(str, axes.shots))} images per class; "
            f"learning rates {', '.join(f'{rate:g}' for rate in axes.learning_rates)}; text "
            f"weights {', '.join(f'{weight:g}' for weight in axes.text_weights)}; seeds "
            f"{', '.join(map(str, axes.seeds))}; {axes.epochs} epochs; "
            f"{len(known.runs)} trainings."
        )

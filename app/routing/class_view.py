"""What the routing page shows class by class: numbers that count every class alike, mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.routing import figures, tables
from app.ui.parts import show_figure
from mocoop.evaluation.evaluate import Evaluation

MOST_CLASSES = 24  # in a matrix whose names can still be read
MOST_MISTAKES = 20


def class_numbers(result: Evaluation) -> None:
    """Shows macro-F1, mean per-class accuracy and top-5 accuracy in a line."""
    numbers = (
        ("Macro-F1", result.macro_f1),
        ("mean of classes", result.mean_class_accuracy),
        ("top-5", result.top5_accuracy),
    )
    shown = [f"{name} **{value:.1f} %**" for name, value in numbers if value is not None]
    st.markdown(
        " · ".join(shown),
        help="Macro-F1 and the mean of the classes' accuracies count every class alike, however "
        "many images it has; F1 also counts what is wrongly told to be of a class. Top-5: the "
        "true class is among the five most probable ones (with more than five classes).",
    )


def mistakes(class_names: Sequence[str], result: Evaluation) -> None:
    """Shows which classes are taken for which: all of them, or the most frequent mistakes.

    Args:
        class_names: that the images were told apart among, in label order.
        result: of these images.
    """
    if len(class_names) <= MOST_CLASSES:
        counts = tables.confusion_table(result.confusion, class_names)
        st.markdown("**Taken for**: true classes down, predicted ones across; mistakes in red")
        alt = "How many images of each true class are told to be of each class"
        show_figure(figures.confusion_map(counts), "confusion", alt, counts, index=True)
        return
    pairs = tables.mistakes_table(result.confusion)
    if pairs.empty:
        st.markdown("**Taken for**: no image is told wrong")
        return
    shown = min(MOST_MISTAKES, len(pairs))
    st.markdown(
        f"**Taken for**: the {shown} most frequent of {len(pairs):,} kinds of mistake, true class "
        "→ predicted class"
    )
    figure = figures.mistake_bars(pairs.head(shown))
    show_figure(figure, "mistakes", "The most frequent mistakes", pairs)

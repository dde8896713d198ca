"""What the routing page shows class by class: numbers that count every class alike, mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.routing import figures, tables, words
from app.ui.parts import show_figure
from mocoop.evaluation.evaluate import Evaluation

MOST_CLASSES = 24  # in a matrix whose names can still be read
MOST_MISTAKES = 20


def class_numbers(result: Evaluation) -> None:
    """Shows macro-F1, mean per-class accuracy and top-5 accuracy in a line."""
    numbers = (
        (words.MACRO_F1, result.macro_f1),
        (words.MEAN_OF_CLASSES, result.mean_class_accuracy),
        (words.TOP_5, result.top5_accuracy),
    )
    shown = [f"{name} **{value:.1f} %**" for name, value in numbers if value is not None]
    st.markdown(" · ".join(shown), help=words.CLASS_NUMBERS_HELP)


def mistakes(class_names: Sequence[str], result: Evaluation) -> None:
    """Shows which classes are taken for which: all of them, or the most frequent mistakes.

    Args:
        class_names: that the images were told apart among, in label order.
        result: of these images.
    """
    if len(class_names) <= MOST_CLASSES:
        counts = tables.confusion_table(result.confusion, class_names)
        st.markdown(words.CONFUSION)
        figure = figures.confusion_map(counts)
        show_figure(figure, "confusion", words.CONFUSION_ALT, counts, index=True)
        return
    pairs = tables.mistakes_table(result.confusion)
    if pairs.empty:
        st.markdown(words.NO_MISTAKES)
        return
    shown = min(MOST_MISTAKES, len(pairs))
    st.markdown(words.most_mistakes(shown, len(pairs)))
    figure = figures.mistake_bars(pairs.head(shown))
    show_figure(figure, "mistakes", words.MISTAKES_ALT, pairs)

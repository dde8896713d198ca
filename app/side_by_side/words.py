"""The texts of methods side by side for one picture."""

from __future__ import annotations

from collections.abc import Sequence

from app.common.words import escape_markdown

TITLE = "**Side by side**: what other methods predict for this picture"
OWN_PROMPT = "And your own prompt"
OTHERS = "Other methods and runs"
OTHERS_HINT = "Choose methods and runs of the same data set"
NO_TRAINING = "no training"
YOUR_PROMPT = "Your prompt"
EXPERTS = "Experts"


def gone(name: str) -> str:
    """Returns that a run of a link is not shown, and why, as Markdown."""
    return escape_markdown(
        f"{name} is not shown: it was deleted, is not finished, or has other classes."
    )


def with_classes(note: str, count: int) -> str:
    """Returns a run's settings with the number of classes that it can predict."""
    return f"{note}, {count} classes"


def agreement(predicted: Sequence[str], truth: str | None) -> str:
    """Returns how many methods agree, and how many are right if the true class is known.

    Args:
        predicted: the class that each method predicts.
        truth: the true class, or None.
    """
    if len(predicted) < 2:
        return ""
    if truth is not None:
        right = sum(name == truth for name in predicted)
        if right == len(predicted):
            return f"All {len(predicted)} methods are right."
        if right == 0:
            return f"All {len(predicted)} methods are wrong."
        return f"{right} of {len(predicted)} methods {'is' if right == 1 else 'are'} right."
    different = len(set(predicted))
    if different == 1:
        return f"All {len(predicted)} methods predict the same class."
    return f"{len(predicted)} methods predict {different} different classes."

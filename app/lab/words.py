"""The texts of the Overfitting lab about seeds, trainings that diverge, lessons and handouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.common.words import signed
from mocoop.methods import METHODS

ALL_SEEDS = "1 to 3"
"""The entry of the menu of seeds that shows three seeds together."""
SEED_HELP = (
    "Each seed draws other training images. *1 to 3* shows the mean of three seeds as a line, and "
    "from the lowest to the highest of them as a band. You can also type another seed."
)
HANDOUT = "Handout (HTML, to print)"
HANDOUT_HELP = (
    "One page with the question and room for predictions, and a second page with the answer and "
    "its figures. Open it in a browser and print it."
)
LESSON, NUMBERS = "Lesson", "The numbers"
SHOW = "Show what happened"
PREDICT_FIRST = "Predict first, then reveal. You remember a result better if you predicted it."
PRINTED_QUESTION = "Your prediction"
PRINTED_REASON = "Why do you think so?"
PRINTED_ANSWER = "What happened"
PRINTED_MEANING = "What it means"


def how_trained(rate: float) -> str:
    """Returns how the trainings of the lessons were made."""
    return (
        f"The trainings of the lessons have the methods' own learning rate of {rate:g}, which was "
        "chosen on validation images. The rate is constant, without warm-up or decay."
    )


def next_lesson(title: str) -> str:
    """Returns the label of the button that opens the next lesson."""
    return f"Next: {title}"


def predict(question: str) -> str:
    """Returns a lesson's question."""
    return f"**Predict:** {question}"


def what_happened(answer: str) -> str:
    """Returns the answer of a lesson if nothing was predicted."""
    return f"**What happened:** {answer}."


def as_predicted(answer: str) -> str:
    """Returns the answer of a lesson if it was predicted."""
    return f"As you predicted: {answer}."


def other_than_predicted(predicted: str, answer: str) -> str:
    """Returns the answer of a lesson if something else was predicted."""
    return f"You predicted: {predicted}. It was: {answer}."


def score(right: int, lessons: int) -> str:
    """Returns how many predictions were right, after the last lesson."""
    return f"**That was the last lesson.** Correct predictions: {right} of {lessons}."


def after_epochs(epoch: int, seeds: Sequence[int]) -> str:
    """Returns the title of the table: the epoch, and whose mean the numbers are."""
    whose = f", mean over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    return f"**After {epoch} epochs**, in percent{whose}"


def diverged(found: Mapping[str, tuple[int, float]], seeds: int) -> str:
    """Returns which trainings diverged, and that this is not overfitting.

    Args:
        found: from `tables.gone_off`; not empty.
        seeds: number of trainings of each method.
    """
    parts = []
    for method, (number, fall) in found.items():
        which = f" with {number} of {seeds} seeds" if seeds > 1 else ""
        parts.append(f"{METHODS[method].label}{which} (by up to {fall:.0f} points)")
    return (
        f"**Training diverged: {', '.join(parts)}.** The accuracy on the *training* images "
        "fell, so this is not overfitting. The learning rate is too high."
    )


def against_zero_shot(changes: Mapping[str, tuple[float, float]], same: float) -> str:
    """Returns in one sentence per method what it gained on base and new classes.

    Args:
        changes: method → points gained over zero-shot on base and on new classes.
        same: at most this many points count as about the same.
    """
    return "  \n".join(
        f"**{METHODS[method].label}**: {signed(base)} points on base and {signed(new)} on new "
        f"classes against zero-shot: {_verdict(base, new, same)}."
        for method, (base, new) in changes.items()
    )


def _verdict(base: float, new: float, same: float) -> str:
    """Returns what gains on base and new classes mean, by their signs."""
    learned = "better" if base > same else "worse" if base < -same else "about the same"
    kept = "better" if new > same else "worse" if new < -same else "about the same"
    if kept == "worse":
        return (
            "it learned the base classes at the cost of the new ones"
            if learned == "better"
            else "it is worse on the new classes and no better on the base classes"
        )
    if learned == kept:
        return f"{learned} on both halves" if kept == "better" else "about the same on both halves"
    return f"{learned} on the base classes, {kept} on the new ones"


def holds(same: int, settings: int, others: Sequence[tuple[int, float]]) -> str:
    """Returns at how many settings of the sliders the answer of a lesson is the same.

    Args:
        same: number of settings with the same answer.
        settings: number of all settings.
        others: shots and learning rates with another answer.
    """
    where = "combinations of learning rate and images per class in the lab"
    if not others:
        return f"The answer is the same at all {settings} {where}."
    named = ", ".join(f"rate {rate:g} with {shots} per class" for shots, rate in others)
    return f"The answer is the same at {same} of {settings} {where}; it is different at {named}."

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
BAND = "A line is the mean over the seeds; its band is from the lowest to the highest seed."
HANDOUTS = "Handout"
HANDOUT, HANDOUT_SOLVED = "Handout (to print)", "Handout with solution"
HANDOUT_HELP = (
    "A small HTML page with the question and room for predictions. With solution, the answer and "
    "its figures follow on pages of their own. Open it in a browser and print it."
)
TRY_AGAIN = "Try again"
TRY_AGAIN_HELP = "Hides the answer. Only your first prediction counts."
TERMS = "Words"
NO_NUMBER = "–"  # in a table
STORY = "Story and question"
FIGURES = {  # the tabs of a lesson with several figures
    "accuracy-by-weight": "Accuracy by weight",
    "drift-and-change": "Drift and accuracy",
    "ways-on-albums": "On albums",
    "ways-on-details": "On details",
    "gain-of-routing": "Gain of the router",
}
LESSON, NUMBERS = "Lesson", "The numbers"
SHOW = "Show what happened"
PREDICT_FIRST = "Predict first, then reveal. You remember a result better if you predicted it."
PRINTED_QUESTION = "Your prediction"
PRINTED_REASON = "Why do you think so?"
PRINTED_ANSWER = "What happened"
PRINTED_MEANING = "What it means"


def how_trained(rate: float, weight: float, own_weights: str) -> str:
    """Returns how the trainings of the lessons were made.

    Args:
        rate: the methods' own learning rate.
        weight: weight of the text loss where a lesson does not vary it.
        own_weights: each method's own weight in words.
    """
    return (
        f"The trainings of the lessons have the methods' own learning rate of {rate:g}, which was "
        "chosen on validation images. The rate is constant, without warm-up or decay. Where a "
        f"lesson says no weight of the text loss, it is {weight:g}; the weights that were chosen "
        f"on validation images are {own_weights}. CoOp has no text loss."
    )


def not_counted(answer: str) -> str:
    """Returns the answer of a lesson for a prediction that was made after seeing it."""
    return f"The answer: {answer}. This try is not counted, because you had seen the answer."


def few_images(shots: int) -> str:
    """Returns the label of the button to the lab with few images per class."""
    return f"In the lab: {shots} images per class"


_COUNTS = {"large": "the large thing", "small": "the small thing", "many": "the pattern"}


def what_counts(style: str, role: str, name: str, things: int) -> str:
    """Returns the caption of an example: its style, what counts in it, and its class.

    Args:
        style: how the picture is drawn.
        role: the place of the thing that counts.
        name: the class.
        things: how many things the picture shows.
    """
    counts = f"{_COUNTS.get(role, f'the {role} thing')} counts" if things > 1 else "the only thing"
    return f"*{style}*: {counts}: **{name}**"


def more_pictures(data: str) -> str:
    """Returns the label of the link to a set's page."""
    return f"All pictures of {data}"


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


def diverged(found: Mapping[str, Mapping[int, float]]) -> str:
    """Returns which trainings diverged, and that this is not overfitting.

    Args:
        found: from `tables.gone_off`; not empty.
    """
    parts = [
        f"{METHODS[method].label}, seed {seed} ({fall:.0f} points below its best)"
        for method, falls in found.items()
        for seed, fall in falls.items()
    ]
    return (
        f"**Training diverged: {'; '.join(parts)}.** The accuracy on the *training* images of "
        "this seed fell, so this is not overfitting: the learning rate is too high. In the mean "
        "line the other seeds can hide the fall; the lower edge of the band shows it."
    )


def against_zero_shot(
    changes: Mapping[str, tuple[float, float]],
    same: float,
    off: Mapping[str, Mapping[int, float]],
) -> str:
    """Returns in one sentence per method what it gained on base and new classes.

    Args:
        changes: method → points gained over zero-shot on base and on new classes.
        same: at most this many points count as about the same.
        off: from `tables.gone_off`; a mean with a training that diverged is not judged.
    """
    return "  \n".join(
        f"**{METHODS[method].label}**: {signed(base)} points on base and {signed(new)} on new "
        f"classes against zero-shot: "
        f"{_not_judged(off[method]) if method in off else _verdict(base, new, same)}."
        for method, (base, new) in changes.items()
    )


def _not_judged(falls: Mapping[int, float]) -> str:
    seeds = ", ".join(map(str, falls))
    return f"not judged, because the training of seed {seeds} diverged"


def lesson_curves(data: str, shots: int) -> str:
    """Returns the caption of the curves of the first lesson."""
    return (
        f"**Accuracy after each epoch** on *{data}*, {shots} images per class: mean of the seeds, "
        "with their range as a band. Dashed: zero-shot, the untrained prompt."
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

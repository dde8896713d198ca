"""The first lesson: one prompt learns the rule of the classes that it sees."""

from __future__ import annotations

import pandas as pd

from app.common.words import signed
from app.lab.findings import HALVES, SAME, SHOTS, change, trainings_of
from app.lab.lesson import Lesson, three_ways
from mocoop.protocols.lab import COOP, MOCOOP


def _on_training_images(finals: pd.DataFrame) -> tuple[float, float]:
    """Returns CoOp's mean accuracy on training images and on test images of the base classes."""
    rows = trainings_of(finals, COOP, "base")
    return float(rows["train after"].mean()), float(rows["after"].mean())


def _answer(finals: pd.DataFrame) -> int:
    return three_ways(change(finals, COOP, "new"), SAME)


def _reveal(finals: pd.DataFrame) -> str:
    train, base = _on_training_images(finals)
    seeds = trainings_of(finals, COOP, "new")["seed"].nunique()
    return (
        f"Compared with the untrained prompt, CoOp changes by "
        f"**{signed(change(finals, COOP, 'base'))}** points on test images of the base classes, "
        f"and by **{signed(change(finals, COOP, 'new'))}** on the new classes (mean of {seeds} "
        f"trainings). It is right on {train:.1f} % of its training images, and on {base:.1f} % of "
        f"the test images of the same classes. MoCoOp, which has several prompts and chooses "
        f"among them for each picture (lesson 3), changes by "
        f"**{signed(change(finals, MOCOOP, 'new'))}** on the new classes."
    )


def _takeaway(finals: pd.DataFrame) -> str:
    base, new = change(finals, COOP, "base"), change(finals, COOP, "new")
    if new >= -SAME:
        return (
            "Here CoOp did not overfit: what it learned from the base classes did not harm the "
            "new ones. That is not always so: with other CLIPs and data it loses many points."
        )
    gap = (
        "Most base pictures are sketches, in which the small thing counts. Most new pictures are "
        "photos, in which the large one counts. A single prompt learns the rule of the base "
        "classes. It also applies this rule to the new classes, where it is wrong. This is "
        f"overfitting to classes. {_memorised(finals)}"
    )
    if base > SAME:
        return f"{gap} CoOp gained on base classes, which hides the loss."
    if base >= -SAME:
        return (
            f"{gap} The accuracy on test images of the base classes hardly changes "
            f"({signed(base)} points), so it does not show the loss."
        )
    return (
        f"{gap} At this learning rate the base classes lost too ({signed(base)} points), but "
        f"less than the new ones ({signed(new)})."
        if base > new
        else f"At this learning rate CoOp lost on both halves ({signed(base)} points on base, "
        f"{signed(new)} on new): it forgot more than it learned."
    )


MEMORISED = 5.0
"""Points between training and test images of the same classes that count as memorising."""


def _memorised(finals: pd.DataFrame) -> str:
    """Returns whether training images were memorised, in words."""
    train, base = _on_training_images(finals)
    if train - base > MEMORISED:
        return (
            f"CoOp also memorised some of its training images: it is {train - base:.1f} points "
            "better on them than on other images of the same classes."
        )
    text = (
        "The training images were not memorised: on other images of the same classes CoOp is "
        "about as good."
    )
    fewest = int(finals["shots"].min())
    few, tested = _on_training_images(finals[finals["shots"] == fewest].assign(shots=SHOTS))
    if few - tested > MEMORISED:
        text += (
            f" With {fewest} images per class it memorises them, the classic kind of "
            f"overfitting: {few:.1f} % of the training images are right, and {tested:.1f} % of "
            "the others."
        )
    return text


OVERFITTING = Lesson(
    "prompts",
    "Why prompts overfit",
    f"CoOp replaces the words *a photo of a* by vectors, learned from {SHOTS} images of each "
    f"**base** class of the set *{HALVES}*. The other half of the classes, the **new** ones, "
    "use the same vectors before their names, but CoOp never sees an image of them. In both "
    "halves the style decides which thing in the picture counts. But most base pictures are "
    "sketches, and most new ones are photos.",
    "After training, how does CoOp do on test images of the *new* classes, compared with the "
    "untrained prompt?",
    (
        f"Better, by more than {SAME:g} points: a good prompt suits all names",
        f"About the same, within {SAME:g} points: nothing was learned about them",
        f"Worse, by more than {SAME:g} points",
    ),
    _answer,
    _reveal,
    _takeaway,
    (HALVES,),
    (
        "prompt",
        "soft prompt",
        "zero-shot accuracy",
        "base classes",
        "new classes",
        "epoch",
        "seed",
        "point",
        "learning rate",
    ),
)

"""The fourth lesson: a set on which a single prompt changes little."""

from __future__ import annotations

import pandas as pd

from app.common.words import signed
from app.lab.findings import DETAILS, HALVES, SHOTS, SINGLE, change
from app.lab.lesson import Lesson
from mocoop.methods import METHODS
from mocoop.protocols.lab import COOP, LASP, MOCOOP

LITTLE, MUCH = 5.0, 20.0
"""Changes below the first are little, above the second much, in points."""


def _largest(finals: pd.DataFrame, data: str) -> float:
    """Returns by how much CoOp changes the half of a set that it changes most, in points."""
    return max(abs(change(finals, COOP, half, data=data)) for half in ("base", "new"))


def _answer(finals: pd.DataFrame) -> int:
    largest = _largest(finals, SINGLE)
    return 0 if largest <= LITTLE else 1 if largest <= MUCH else 2


def _reveal(finals: pd.DataFrame) -> str:
    parts = [
        f"**{signed(change(finals, COOP, 'base', data=data))}** points on base and "
        f"**{signed(change(finals, COOP, 'new', data=data))}** on new classes of *{data}*"
        for data in (SINGLE, HALVES, DETAILS)
    ]
    told = f"CoOp changes the accuracy by {parts[0]}, but by {parts[1]}, and by {parts[2]}."
    lost, gained = (change(finals, COOP, "new", data=data) for data in (HALVES, DETAILS))
    if lost < -LITTLE and gained > LITTLE:
        told += (
            f" On the new classes of *{DETAILS}* it gains, although it never saw them: there the "
            "small thing counts in base and new pictures alike, so what CoOp learned is right "
            f"for both. On *{HALVES}* (lesson 1) the mix of styles differs, and it is wrong."
        )
    return told


def _takeaway(finals: pd.DataFrame) -> str:
    others = []
    for method in (LASP, MOCOOP):
        base, new = (change(finals, method, half, data=SINGLE) for half in ("base", "new"))
        others.append(f"{METHODS[method].label} {signed(base)} and {signed(new)}")
    more = f"Against zero-shot, on base and new classes of *{SINGLE}*: {', '.join(others)} points."
    if _answer(finals):
        return f"Here a single prompt matters also where a picture shows a single thing. {more}"
    return (
        "Where a picture shows a single thing, the words around the name have nothing to choose. "
        "One learned prompt gains little there, and loses little. Such a set alone is not enough "
        f"to judge a method that learns prompts. {more}"
    )


CONTROL = Lesson(
    "control",
    "Does a prompt always matter?",
    f"In the sets so far a picture shows several things, and the prompt says which one counts. In "
    f"the set *{SINGLE}* every picture shows **one** thing, and its name is the label. CoOp again "
    f"learns from {SHOTS} images of each base class, at its own learning rate.",
    f"By how much does CoOp change the test accuracy on *{SINGLE}*, on the half of the classes "
    "that it changes most?",
    (
        f"By {LITTLE:g} points or less",
        f"By more than {LITTLE:g}, but at most {MUCH:g} points",
        f"By more than {MUCH:g} points",
    ),
    _answer,
    _reveal,
    _takeaway,
    (SINGLE,),
    (
        "prompt",
        "zero-shot accuracy",
        "base classes",
        "new classes",
        "seed",
        "point",
        "learning rate",
    ),
)

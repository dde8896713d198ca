"""Three short lessons: a question, what the trainings say to it, and what that means.

Which choice is right, and every sentence after it, is computed from the numbers: with another
grid the lesson says something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from app.lab.findings import (
    SAME,
    WEIGHT,
    by_weight,
    change,
    held,
    rank_correlation,
    router_conditions,
    trainings_of,
    ways,
)
from mocoop.protocols.lab import COOP, LASP, MOCOOP


@dataclass(frozen=True)
class Lesson:
    """A question with choices, and functions that answer it from the grid's trainings."""

    key: str
    """In the address."""
    title: str
    story: str
    question: str
    choices: tuple[str, ...]
    answer: Callable[[pd.DataFrame], int]
    """Which choice the numbers make right; from `lab_tables.final_table`."""
    reveal: Callable[[pd.DataFrame], str]
    """What happened, in numbers."""
    takeaway: Callable[[pd.DataFrame], str]
    """What to keep of it; true for these numbers."""


def _three_ways(value: float) -> int:
    """Returns 0 for more, 1 for about the same, 2 for less."""
    return 0 if value > SAME else 2 if value < -SAME else 1


def _points(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")  # + 0.0: no minus before a zero


def _correlation(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


# Lesson 1 ---------------------------------------------------------------------------------------


def _overfit_answer(finals: pd.DataFrame) -> int:
    return _three_ways(change(finals, COOP, "new"))


def _overfit_reveal(finals: pd.DataFrame) -> str:
    rows = trainings_of(finals, COOP, "new", 0.0)
    train = float((rows["train after"] - rows["train before"]).mean())
    return (
        f"Mean over {rows['data'].nunique()} data sets and {rows['seed'].nunique()} seeds, in "
        f"points: **{_points(train)}** on the training images (since the first epoch), "
        f"**{_points(change(finals, COOP, 'base'))}** on other images of the base classes, "
        f"**{_points(change(finals, COOP, 'new'))}** on the new classes. The text loss of LASP "
        f"and MoCoOp (weight {WEIGHT:g}) leaves **{_points(change(finals, LASP, 'new'))}** and "
        f"**{_points(change(finals, MOCOOP, 'new'))}** on the new classes."
    )


def _overfit_takeaway(finals: pd.DataFrame) -> str:
    base, new = change(finals, COOP, "base"), change(finals, COOP, "new")
    if new >= -SAME:
        return (
            "Here CoOp did not overfit: what it learned from some classes did the others no "
            "harm. That is no law; other CLIPs and data lose many points."
        )
    gap = (
        "The prompt suits the names that it was trained with, and loses what the plain words said "
        "about all others: that is overfitting to classes."
    )
    if base > SAME:
        return f"{gap} On base classes it gained, so that looking there alone would hide the loss."
    if base >= -SAME:
        return (
            f"{gap} Test images of the base classes hardly show it ({_points(base)} points): who "
            "looks there alone sees no loss."
        )
    return (
        f"{gap} At this rate the base classes lost too ({_points(base)} points), but less than "
        f"the new ones ({_points(new)})."
        if base > new
        else f"At this rate CoOp lost on both halves ({_points(base)} on base, {_points(new)} on "
        "new): training this hard forgets more than it learns."
    )


# Lesson 2 ---------------------------------------------------------------------------------------


def _text_answer(finals: pd.DataFrame) -> int:
    base, new = held(finals)
    if new > SAME:
        return 1 if base > SAME else 0
    return 2 if base > SAME else 3


def _text_reveal(finals: pd.DataFrame) -> str:
    base, new = held(finals)
    means = by_weight(finals)
    rows = means[(means["method"] == LASP) & (means["half"] == "new")].sort_values("weight")
    none, most = rows.iloc[0], rows.iloc[-1]
    return (
        f"From weight {none['weight']:g} to {most['weight']:g}, LASP's accuracy changes by "
        f"**{_points(new)}** points on new and **{_points(base)}** on base classes, and the drift "
        f"of its prompts for the new classes goes from {none['drift']:.2f} to {most['drift']:.2f}."
    )


def _text_takeaway(finals: pd.DataFrame) -> str:
    """Says what goes with drift, over all trainings of the grid."""
    new = finals[finals["half"] == "new"]
    lost = new.assign(change=new["after"] - new["before"])
    together = rank_correlation(lost["drift"], lost["change"])
    base, gain = held(finals)
    said = (
        f"Over all {len(lost)} trainings, drift and change on new classes have a rank correlation "
        f"of {_correlation(together)}: "
    )
    if together < -0.3:
        said += "the farther a prompt drifts from its words, the more it loses on new classes. "
    elif together > 0.3:
        said += "here, drifting did not cost the new classes anything. "
    else:
        said += "drift alone says little about the new classes. "
    if gain > SAME:
        kept = "without a loss on base classes" if base > -SAME else "at a price on base classes"
        return f"{said}Text supervision holds on to the meaning of names it never saw, {kept}."
    return f"{said}Text supervision held the prompts near their words, and little came of it here."


# Lesson 3 ---------------------------------------------------------------------------------------


def _router_answer(finals: pd.DataFrame) -> int:
    found = list(ways(finals).values())
    return _three_ways(found[0] - found[1])


def _router_reveal(finals: pd.DataFrame) -> str:
    names, values = list(ways(finals)), list(ways(finals).values())
    return (
        f"{names[0].capitalize()} is right on **{values[0]:.1f} %** of the test images, "
        f"{names[1]} on **{values[1]:.1f} %**: a difference of "
        f"**{_points(values[0] - values[1])}** points. At least one expert is right on "
        f"{values[4]:.1f} %."
    )


def _router_takeaway(finals: pd.DataFrame) -> str:
    table = router_conditions(finals)
    best, worst = table.iloc[0], table.iloc[-1]
    rows = finals[finals["method"] == MOCOOP]
    together = rank_correlation(rows["headroom"], rows["gain"])
    said = (
        f"Against all experts equally, the router brings {_points(best['gain'])} points at best "
        f"({_setting(best)}) and {_points(worst['gain'])} at worst ({_setting(worst)}). "
    )
    number = f"(rank correlation {_correlation(together)})"
    if together > 0.3:
        said += f"It gains more where the experts differ more {number}. "
    elif together < -0.3:
        said += f"Where the experts differ more, it chooses worse {number}. "
    else:
        said += f"How much the experts differ hardly tells where it gains {number}. "
    if best["gain"] <= SAME:
        _, equally, single, *_ = ways(finals).values()
        if equally <= single:
            return f"{said}With this CLIP one well-chosen expert does as well as all of them."
        return (
            f"{said}What helps here is to have several experts (all equally: "
            f"{_points(equally - single)} points over the best single one), not to choose."
        )
    if worst["gain"] < -SAME:
        return f"{said}Measure it before you trust it, as the page Routing does."
    return f"{said}It never costs more than {SAME:g} points here."


def _setting(row: pd.Series) -> str:
    return f"text weight {row['weight']:g}, {row['shots']:g} images per class"


LESSONS = (
    Lesson(
        "prompts",
        "Why prompts overfit",
        "CoOp replaces the words *a photo of a* by vectors. They are learned from 16 images of each "
        "**base** class. The other half of the classes, the **new** ones, use the same vectors "
        "before their names, but CoOp never sees an image of them.",
        "After 40 epochs, how does CoOp do on test images of the *new* classes, compared with the "
        "untrained prompt?",
        (
            f"Better, by more than {SAME:g} points: a good prompt suits all names",
            f"About the same, within {SAME:g} points: nothing was learned about them",
            f"Worse, by more than {SAME:g} points",
        ),
        _overfit_answer,
        _overfit_reveal,
        _overfit_takeaway,
    ),
    Lesson(
        "text",
        "What text supervision holds on to",
        "LASP learns one prompt as CoOp does, but has a second task, without any image: its "
        "prompt for *cat* must lie nearer to hand-written prompts for *cat* than to those for "
        "other classes. The **weight** says how much this counts.",
        "The weight is turned from 0 to its largest value. Where does LASP gain more than "
        f"{SAME:g} points of test accuracy?",
        (
            "On the new classes only",
            "On both halves",
            "On the base classes only",
            "On neither",
        ),
        _text_answer,
        _text_reveal,
        _text_takeaway,
    ),
    Lesson(
        "router",
        "When a router helps",
        "MoCoOp has eleven experts, one for each style of picture, and a router that picks two of "
        "them for every image. One could do without it: let **all experts vote equally** on every "
        "image.",
        "How does the router's choice of two compare with that?",
        (
            f"It is right more often, by more than {SAME:g} points",
            f"About the same, within {SAME:g} points",
            f"It is right less often, by more than {SAME:g} points",
        ),
        _router_answer,
        _router_reveal,
        _router_takeaway,
    ),
)

"""Short lessons: a question, the answer from the trainings, and what it means.

The right choice and all sentences after it are computed from the numbers, so another grid can
give another lesson.
"""

from __future__ import annotations

import pandas as pd

from app.common.words import signed as _points
from app.lab.control import CONTROL
from app.lab.findings import (
    ALBUMS,
    DETAILS,
    HALVES,
    LARGE,
    SAME,
    by_weight,
    drift_correlations,
    drifts,
    rank_correlation,
    router_conditions,
    router_gain,
    supervision_gains,
    ways,
)
from app.lab.lesson import Lesson, three_ways
from app.lab.overfitting import OVERFITTING
from mocoop.protocols.lab import LASP, MOCOOP


def _correlation(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


# Lesson 2 ---------------------------------------------------------------------------------------


def _text_answer(finals: pd.DataFrame) -> int:
    base, new = supervision_gains(finals)
    if new > SAME:
        return 1 if base > SAME else 0
    return 2 if base > SAME else 3


def _text_reveal(finals: pd.DataFrame) -> str:
    base, new = supervision_gains(finals)
    means = by_weight(finals)
    rows = means[(means["method"] == LASP) & (means["half"] == "new")].sort_values("weight")
    none, most = rows.iloc[0], rows.iloc[-1]
    text = (
        f"From weight {none['weight']:g} to {most['weight']:g}, LASP's accuracy changes by "
        f"**{_points(new)}** points on new and **{_points(base)}** on base classes, and the drift "
        f"of its prompts for the new classes goes from {none['drift']:.2f} to {most['drift']:.2f}."
    )
    if MOCOOP in set(means["method"]):
        base, new = supervision_gains(finals, MOCOOP)
        text += (
            f" MoCoOp's accuracy changes by **{_points(new)}** points on new and "
            f"**{_points(base)}** on base classes."
        )
    return text


def _text_takeaway(finals: pd.DataFrame) -> str:
    """Returns how drift and accuracy of LASP go together, and that methods are not compared."""
    every, each = drifts(finals), drift_correlations(finals)
    together = rank_correlation(every["drift"], every["change"])
    base, gain = supervision_gains(finals)
    lost = sum(value < 0 for value in each)
    text = (
        f"Over all {len(every)} trainings of LASP on *{HALVES}*, drift and change on new classes "
        f"have a rank correlation of {_correlation(together)}. "
    )
    if together < -0.3:
        where = f"at {'all ' if lost == len(each) else f'{lost} of '}{len(each)}"
        text += (
            "The farther LASP's prompt drifts from its words, the more it loses on new classes, "
            f"{where} combinations of learning rate and images per class. "
        )
    elif together > 0.3:
        text += "Here, drift did not reduce the accuracy on new classes. "
    else:
        text += "Drift alone says little about the new classes. "
    text += f"{_other_drifts(finals)}"
    if gain > SAME:
        kept = "without a loss on base classes" if base > -SAME else "with a loss on base classes"
        return f"{text}Text supervision keeps the meaning of names without images, {kept}."
    return f"{text}Text supervision kept the prompts near their words, but gained little here."


def _other_drifts(finals: pd.DataFrame) -> str:
    """Returns that drift does not compare methods, with MoCoOp's numbers."""
    found = drifts(finals, MOCOOP)
    if found.empty:
        return ""
    mixture = rank_correlation(found["drift"], found["change"])
    return (
        "Compare drift only within one method, at different weights: methods differ in what they "
        "start from and in how many prompts they have, so one method can drift farther than "
        f"another and still gain. Within MoCoOp the same number is {_correlation(mixture)}. "
    )


# Lesson 3 ---------------------------------------------------------------------------------------


def _router_answer(finals: pd.DataFrame) -> int:
    return three_ways(router_gain(finals, ALBUMS) - router_gain(finals, DETAILS), LARGE)


def _router_reveal(finals: pd.DataFrame) -> str:
    sentences = []
    for data in (ALBUMS, DETAILS):
        router, equally, single, *_ = ways(finals, data).values()
        sentences.append(
            f"On *{data}* the router's choice is right on **{router:.1f} %** of the test images, "
            f"all experts equally on {equally:.1f} %, the best single expert on {single:.1f} %: "
            f"**{_points(router_gain(finals, data))}** points over the better of the two."
        )
    return " ".join(sentences)


def _router_takeaway(finals: pd.DataFrame) -> str:
    table = router_conditions(finals)
    best, worst = table.iloc[0], table.iloc[-1]
    together = rank_correlation(table["headroom"], table["gain"])
    number = f"(rank correlation {_correlation(together)})"
    text = (
        f"In the mean over seeds and halves, the router brings {_points(best['gain'])} points at "
        f"best ({_setting(best)}) and {_points(worst['gain'])} at worst ({_setting(worst)}): the "
        "highest and the lowest dot of the figure *Gain of the router*. "
    )
    if together > 0.3:
        text += f"It gains more where the experts differ more {number}. "
    elif together < -0.3:
        text += f"Where the experts differ more, it chooses worse {number}. "
    else:
        text += f"Its gain hardly depends on how much the experts differ {number}. "
    if best["gain"] <= SAME:
        return f"{text}Here the experts need no router."
    if _router_answer(finals) == 0:
        text += (
            "A router helps where the picture itself shows which prompt fits: in the albums the "
            "style decides which thing counts. Where one rule holds for all pictures, one expert "
            "that has learned this rule is enough. "
        )
    if worst["gain"] < -SAME:
        return f"{text}So measure the router's gain before you rely on it, as on the Routing page."
    return f"{text}It never costs more than {SAME:g} points here."


def _setting(row: pd.Series) -> str:
    return f"{row['data']}, text weight {row['weight']:g}, {row['shots']:g} images per class"


LESSONS = (
    OVERFITTING,
    Lesson(
        "text",
        "What text supervision preserves",
        "LASP learns one prompt like CoOp, but has a second task that needs no images: its "
        "prompt for *cat* must be closer to hand-written prompts for *cat* than to those for "
        "other classes. The **weight** says how much this task counts. The set is again "
        f"*{HALVES}*, the learning rate again LASP's own.",
        "The weight is raised from 0 to its largest value. Where does LASP gain more than "
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
        (HALVES,),
        ("hard prompt", "text loss", "drift", "cosine", "rank correlation", "seed", "point"),
    ),
    Lesson(
        "router",
        "Does a router help?",
        "MoCoOp has an expert for each group of templates, and a router that picks two of "
        "them for every image. It would also work without a router: **all experts vote equally**, "
        f"or **the best single one** answers alone. In the set *{ALBUMS}* the style decides which "
        "thing counts: the large one in photos, the small one in sketches, the pattern in dark "
        f"pictures. In *{DETAILS}* it is always the small one.",
        "How much does the router's choice of two gain over the better of these ways, in points "
        "of test accuracy?",
        (
            f"On *{ALBUMS}* by more than {LARGE:g} points more than on *{DETAILS}*",
            f"About as much on both, within {LARGE:g} points",
            f"On *{DETAILS}* by more than {LARGE:g} points more than on *{ALBUMS}*",
        ),
        _router_answer,
        _router_reveal,
        _router_takeaway,
        (ALBUMS, DETAILS),
        ("expert", "router", "text loss", "rank correlation", "seed", "point"),
    ),
    CONTROL,
)

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
    SHOTS,
    WEIGHT,
    by_weight,
    change,
    drifts_of_lasp,
    rank_correlation,
    router_conditions,
    router_gain,
    supervision_gains,
    trainings_of,
    ways,
)
from app.lab.lesson import Lesson
from mocoop.protocols.lab import COOP, LASP, MOCOOP, OWN_RATE


def _three_ways(value: float, same: float = SAME) -> int:
    """Returns 0 for more, 1 for about the same, 2 for less."""
    return 0 if value > same else 2 if value < -same else 1


def _correlation(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


# Lesson 1 ---------------------------------------------------------------------------------------


def _overfit_answer(finals: pd.DataFrame) -> int:
    return _three_ways(change(finals, COOP, "new"))


def _overfit_reveal(finals: pd.DataFrame) -> str:
    rows = trainings_of(finals, COOP, "new")
    train = float((rows["train after"] - rows["train before"]).mean())
    return (
        f"On *{HALVES}*, mean over {rows['seed'].nunique()} seeds, in points: "
        f"**{_points(train)}** on the training images (since the first epoch), "
        f"**{_points(change(finals, COOP, 'base'))}** on other images of the base classes, "
        f"**{_points(change(finals, COOP, 'new'))}** on the new classes. {_other_rates(finals)} "
        f"With text weight {WEIGHT:g}, LASP changes by **{_points(change(finals, LASP, 'new'))}** "
        f"and MoCoOp by **{_points(change(finals, MOCOOP, 'new'))}** on the new classes."
    )


def _other_rates(finals: pd.DataFrame) -> str:
    """Returns what CoOp gains or loses on the new classes at the other learning rates."""
    rates = sorted(rate for rate in finals["rate"].unique() if rate != OWN_RATE)
    if not rates:
        return ""
    each = [f"{_points(change(finals, COOP, 'new', rate))} (rate {rate:g})" for rate in rates]
    own = f"That was at CoOp's own learning rate, {OWN_RATE:g}."
    return f"{own} At the other rates it is {' and '.join(each)}."


def _overfit_takeaway(finals: pd.DataFrame) -> str:
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
        "overfitting to classes."
    )
    if base > SAME:
        return f"{gap} It gained on the base classes, so their accuracy alone hides the loss."
    if base >= -SAME:
        return (
            f"{gap} The accuracy on test images of the base classes hardly changes "
            f"({_points(base)} points), so it does not show the loss."
        )
    return (
        f"{gap} At this learning rate the base classes lost too ({_points(base)} points), but "
        f"less than the new ones ({_points(new)})."
        if base > new
        else f"At this learning rate CoOp lost on both halves ({_points(base)} points on base, "
        f"{_points(new)} on new): it forgot more than it learned."
    )


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
    """Returns how drift and accuracy of LASP are related over all trainings on the set."""
    lost = drifts_of_lasp(finals)
    together = rank_correlation(lost["drift"], lost["change"])
    base, gain = supervision_gains(finals)
    text = (
        f"Over all {len(lost)} trainings of LASP on *{HALVES}*, at every rate and number of "
        "images, drift and change on new classes have a rank correlation of "
        f"{_correlation(together)}: "
    )
    if together < -0.3:
        text += "the farther a prompt drifts from its words, the more it loses on new classes. "
    elif together > 0.3:
        text += "here, drift did not reduce the accuracy on new classes. "
    else:
        text += "drift alone says little about the new classes. "
    if gain > SAME:
        kept = "without a loss on base classes" if base > -SAME else "with a loss on base classes"
        return f"{text}Text supervision keeps the meaning of names without images, {kept}."
    return f"{text}Text supervision kept the prompts near their words, but gained little here."


# Lesson 3 ---------------------------------------------------------------------------------------


def _router_answer(finals: pd.DataFrame) -> int:
    return _three_ways(router_gain(finals, ALBUMS) - router_gain(finals, DETAILS), LARGE)


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
    rows = finals[(finals["method"] == MOCOOP) & (finals["rate"] == OWN_RATE)]
    together = rank_correlation(rows["headroom"], rows["gain"])
    number = f"(rank correlation {_correlation(together)})"
    text = (
        f"Over all sets and settings, the router brings {_points(best['gain'])} points at best "
        f"({_setting(best)}) and {_points(worst['gain'])} at worst ({_setting(worst)}). "
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
    Lesson(
        "prompts",
        "Why prompts overfit",
        f"CoOp replaces the words *a photo of a* by vectors, learned from {SHOTS} images of each "
        f"**base** class of the set *{HALVES}*. The other half of the classes, the **new** ones, "
        "use the same vectors before their names, but CoOp never sees an image of them. In both "
        "halves the style decides which thing in the picture counts. But most base pictures are "
        "sketches, and most new ones are photos.",
        "After 40 epochs at its own learning rate, how does CoOp do on test images of the *new* "
        "classes, compared with the untrained prompt?",
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
    ),
    Lesson(
        "router",
        "Does a router help?",
        "MoCoOp has an expert for each group of templates, and a router that picks two of "
        "them for every image. It would also work without a router: **all experts vote equally**, "
        f"or **the best single one** answers alone. In the set *{ALBUMS}* the style decides which "
        "thing counts: the large one in photos, the small one in sketches, the many in dark "
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
    ),
    CONTROL,
)

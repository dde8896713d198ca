"""Tables and sentences for a typed prompt and for an edited group of hard prompts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mocoop.evaluation.paired import PairTest
from mocoop.evaluation.typed_prompt import GroupEffect, PartScore

TYPED, PLAIN = "your prompt", "zero-shot"  # columns


def parts_table(typed: Sequence[PartScore], plain: Sequence[PartScore]) -> pd.DataFrame:
    """Returns a row per part of the test images: accuracy of both prompts and the difference.

    Args:
        typed: scores of the typed prompt.
        plain: those of the zero-shot prompt on the same parts.
    """
    rows = [
        {
            "part": mine.kind if mine.kind == "all" else f"{mine.kind}: {mine.name}",
            "images": mine.images,
            TYPED: mine.accuracy,
            PLAIN: other.accuracy,
            "difference": mine.accuracy - other.accuracy,
        }
        for mine, other in zip(typed, plain, strict=True)
    ]
    return pd.DataFrame(rows)


def best_and_worst(table: pd.DataFrame) -> str:
    """Returns where the typed prompt gains and loses most, in words; empty without parts."""
    parts = table[table["part"] != "all"]
    if parts.empty:
        return ""
    ordered = parts.sort_values("difference", kind="stable")
    worst, best = ordered.iloc[0], ordered.iloc[-1]
    said = []
    if best["difference"] > 0:
        said.append(f"It gains most on {best['part']} ({best['difference']:+.1f} points)")
    if worst["difference"] < 0:
        said.append(f"it loses most on {worst['part']} ({worst['difference']:+.1f} points)")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else "No part of the test images changes."


def against_zero_shot(test: PairTest) -> str:
    """Returns whether the typed prompt beats zero-shot, with the interval of the difference."""
    interval = f"[{test.interval.low:+.1f}, {test.interval.high:+.1f}]"
    text = f"{test.difference:+.1f} points against zero-shot {interval}"
    if test.p_value >= 0.05:
        return f"{text}: too close to call"
    return f"{text}: {'better' if test.difference > 0 else 'worse'}"


def effect_table(
    before: GroupEffect, after: GroupEffect, cosine: float, expert: int
) -> pd.DataFrame:
    """Returns a row per measure of a group: as in the run, and with the edited sentences.

    Args:
        before: what the groups of the run do.
        after: what they do with one group edited.
        cosine: mean over classes of the cosine of the group's new prototypes to its old ones.
        expert: index of the edited group.
    """
    rows = [
        ("cosine to the old prototype", "1.000", f"{cosine:.3f}"),
        ("this group's prompts alone, % right", f"{before.alone:.1f}", f"{after.alone:.1f}"),
        (
            "all groups with this run's router, % right",
            f"{before.mixed:.1f}",
            f"{after.mixed:.1f}",
        ),
        (
            "images the routing target sends here first, %",
            f"{before.target[expert]:.1f}",
            f"{after.target[expert]:.1f}",
        ),
    ]
    return pd.DataFrame(rows, columns=["measure", "as in the run", "edited"])


def target_table(experts: Sequence[str], before: GroupEffect, after: GroupEffect) -> pd.DataFrame:
    """Returns a row per group: share of images that the routing target sends there first, %."""
    return pd.DataFrame({"expert": experts, "before": before.target, "after": after.target})

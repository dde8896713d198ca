"""Tables and sentences for a typed prompt and for an edited group of hard prompts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from app.routing import typed_words as words
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
    return words.best_and_worst(dict(zip(ordered["part"], ordered["difference"], strict=True)))


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
        (words.EFFECTS["cosine"], "1.000", f"{cosine:.3f}"),
        (words.EFFECTS["alone"], f"{before.alone:.1f}", f"{after.alone:.1f}"),
        (words.EFFECTS["mixed"], f"{before.mixed:.1f}", f"{after.mixed:.1f}"),
        (words.EFFECTS["target"], f"{before.target[expert]:.1f}", f"{after.target[expert]:.1f}"),
    ]
    return pd.DataFrame(rows, columns=list(words.EFFECT_COLUMNS))


def target_table(experts: Sequence[str], before: GroupEffect, after: GroupEffect) -> pd.DataFrame:
    """Returns a row per group: share of images that the routing target sends there first, %."""
    return pd.DataFrame({"expert": experts, "before": before.target, "after": after.target})

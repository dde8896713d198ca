"""The sentence that says why a mixture is wrong on an image, as far as its experts tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.common.words import escape_markdown

NO_EXPERT_RIGHT = "No expert is right alone, so another choice of experts would not help."


def why_wrong(chosen: Mapping[str, float], others: Sequence[str]) -> str:
    """Returns whether the experts or their choice made the prediction wrong, as Markdown.

    Args:
        chosen: chosen experts that are right alone → their weights, 0 to 1.
        others: experts that are right alone but were not chosen.
    """
    if chosen:
        named = [
            f"{_name(expert)} ({weight:.0%} of the mixture)" for expert, weight in chosen.items()
        ]
        return f"{_alone(named)} right, but in the mixture another class wins."
    if others:
        was = "it" if len(others) == 1 else "them"
        return (
            f"{_alone([_name(one) for one in others])} right, but the router did not choose {was}."
        )
    return NO_EXPERT_RIGHT


def _alone(names: Sequence[str]) -> str:
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"Alone, {listed} {'is' if len(names) == 1 else 'are'}"


def _name(expert: str) -> str:
    return f"*{escape_markdown(expert)}*"

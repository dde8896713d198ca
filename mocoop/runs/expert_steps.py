"""How the number of experts was chosen before a training: the steps, as a run keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mocoop.storage.typed_json import Count, Number, Word

Change = Literal["start", "merge", "drop", "split"]
_DONE = {"merge": "became one", "drop": "was left out", "split": "was split in two"}


@dataclass(frozen=True)
class ExpertStep:
    """A short training with some experts, and what became of it."""

    change: Change
    """What changed against the experts before; start for those of the data set's groups."""
    experts: tuple[Word, ...]
    """Names of the experts that were changed."""
    count: Count
    """The number of experts of this training."""
    accuracy: Number
    """Its accuracy on the validation images, in percent."""
    kept: bool
    """Whether the change was kept."""


def choice_in_words(steps: Sequence[ExpertStep]) -> str:
    """Returns in a sentence how the experts were chosen; "" if they were not chosen."""
    if not steps:
        return ""
    kept = [step for step in steps if step.kept]
    trainings = f"{len(steps)} short training" + ("" if len(steps) == 1 else "s")
    first, last = kept[0], kept[-1]
    if len(kept) == 1:
        return (
            f"All {first.count} experts stayed: in {trainings}, no other choice was better on the "
            f"validation images ({first.accuracy:.1f} %)."
        )
    changes = "; ".join(f"{' and '.join(one.experts)} {_DONE[one.change]}" for one in kept[1:])
    return (
        f"{first.count} experts became {last.count} by {trainings}: {changes} (from "
        f"{first.accuracy:.1f} to {last.accuracy:.1f} % of the validation images)."
    )

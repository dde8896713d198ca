"""What a lesson is, and whether its answer holds at other settings of the sliders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from app.lab import words
from app.lab.findings import at_setting, settings_of


@dataclass(frozen=True)
class Lesson:
    """A question with choices, and functions that answer it from the grid's trainings."""

    key: str
    """Name in the page's address."""
    title: str
    story: str
    question: str
    choices: tuple[str, ...]
    answer: Callable[[pd.DataFrame], int]
    """Takes `tables.final_table` and returns the index of the right choice."""
    reveal: Callable[[pd.DataFrame], str]
    """Returns what happened, in numbers."""
    takeaway: Callable[[pd.DataFrame], str]
    """Returns the conclusion that these numbers allow."""
    data: tuple[str, ...] = ()
    """The sets whose pictures are shown with the question."""
    terms: tuple[str, ...] = ()
    """The terms that are explained, by their names in `terms_words.TERMS`."""


def three_ways(value: float, same: float) -> int:
    """Returns 0 for more, 1 for about the same, 2 for less."""
    return 0 if value > same else 2 if value < -same else 1


def answers_by_setting(lesson: Lesson, finals: pd.DataFrame) -> dict[tuple[int, float], int]:
    """Returns shots and learning rate → the lesson's right choice at this setting.

    Args:
        lesson: the lesson.
        finals: from `tables.final_table`.
    """
    return {
        (shots, rate): lesson.answer(at_setting(finals, shots, rate))
        for shots, rate in settings_of(finals)
    }


def robustness(lesson: Lesson, finals: pd.DataFrame) -> str:
    """Returns at how many settings of the sliders the lesson's answer is the same, in words."""
    right, found = lesson.answer(finals), answers_by_setting(lesson, finals)
    others = [key for key, answer in found.items() if answer != right]
    return words.holds(len(found) - len(others), len(found), others)

"""What a user predicted in the lessons, kept for the session and never in the address.

A shared link carries lesson and settings, but neither a prediction nor the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.common import state
from app.lab.lesson import Lesson


def forget_links_of_before() -> None:
    """Takes predictions and revealed answers out of the address, where old links have them."""
    for name in list(st.query_params):
        if name == state.REVEALED or name.startswith(f"{state.ANSWER}_"):
            del st.query_params[name]


def chosen(lesson: Lesson) -> int | None:
    """Returns the choice that is marked; None before the first."""
    return _chosen().get(lesson.key)


def choose(lesson: Lesson, choice: int | None) -> None:
    """Keeps the choice that is marked."""
    _chosen()[lesson.key] = choice


def is_revealed(lesson: Lesson) -> bool:
    """Returns whether the answer is shown."""
    return lesson.key in st.session_state.get(state.REVEALED, ())


def reveal(lesson: Lesson) -> None:
    """Shows the answer; only the first prediction counts."""
    st.session_state.setdefault(state.PREDICTED, {}).setdefault(lesson.key, chosen(lesson))
    st.session_state.setdefault(state.REVEALED, set()).add(lesson.key)


def try_again(lesson: Lesson) -> None:
    """Hides the answer and clears the choice; what is predicted now does not count."""
    st.session_state[state.REVEALED].discard(lesson.key)
    choose(lesson, None)
    tries = st.session_state.setdefault(state.TRIES, {})
    tries[lesson.key] = tries.get(lesson.key, 0) + 1


def tries(lesson: Lesson) -> int:
    """Returns how often a user began again."""
    return int(st.session_state.get(state.TRIES, {}).get(lesson.key, 0))


def first_predictions(lessons: Sequence[Lesson]) -> list[tuple[Lesson, int]]:
    """Returns the lessons that were answered, each with its first prediction."""
    given = st.session_state.get(state.PREDICTED, {})
    return [(lesson, given[lesson.key]) for lesson in lessons if lesson.key in given]


def _chosen() -> dict[str, int | None]:
    found: dict[str, int | None] = st.session_state.setdefault(state.CHOSEN, {})
    return found

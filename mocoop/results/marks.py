"""The marks behind methods in tables, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence

MARK = "†"
"""Something behind the number was chosen on test images."""
ALL_NAMES = "‡"
"""The text loss saw the names of the new classes."""

ALL_NAMES_NOTE = (
    f"{ALL_NAMES}: the text loss also saw the names of the new classes, without images; compare "
    "these lines with each other."
)
SEEN_NAMES_NOTE = "No text loss saw the names of the new classes."


def chosen_note(data: Sequence[str]) -> str:
    """Returns what the mark behind a method means."""
    return (
        f"{MARK}: chosen on validation images that are the test images ({', '.join(data)}), which "
        "flatters these numbers."
    )


def unmarked(label: str) -> str:
    """Returns a line's label without the mark of a choice on test images."""
    return label.replace(f" {MARK}", "")

"""The mark of methods whose numbers were chosen on test images, and what it means."""

from __future__ import annotations

from collections.abc import Sequence

MARK = "†"


def chosen_note(data: Sequence[str]) -> str:
    """Returns what the mark behind a method means."""
    return (
        f"{MARK}: chosen on validation images that are the test images ({', '.join(data)}), which "
        "flatters these numbers."
    )


def unmarked(label: str) -> str:
    """Returns a line's label without the mark."""
    return label.replace(f" {MARK}", "")

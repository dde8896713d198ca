"""What version 0.1 had and this one has not: said in words where an old file needs it."""

from __future__ import annotations

from mocoop.errors import UserError

# Fingerprint of the weights of version 0.1's built-in CLIP.
_FIRST_DEMO = "ac09cea37658f55ac47c155590d4eeeb"
_SETS = ("games",)  # built-in sets without a successor of the same name


def check_not_first_demo(fingerprint: str, what: str) -> None:
    """Raises UserError if something was trained with the built-in CLIP of version 0.1.

    Args:
        fingerprint: of the CLIP that it was trained with.
        what: "run" or "classifier".
    """
    if fingerprint == _FIRST_DEMO:
        raise UserError(
            f"This {what} was trained with the built-in CLIP of version 0.1, which is gone: it "
            f"knew single things, and the one of today knows scenes. The {what} can be looked "
            "at, but it cannot classify images any more. Train again to see more."
        )


def check_not_old_set(name: str) -> None:
    """Raises UserError for a built-in set of version 0.1 that is gone."""
    if name in _SETS:
        raise UserError(
            f"The built-in set {name} is gone: it was drawn for the built-in CLIP of version 0.1. "
            "Choose another one: `mocoop data list` shows them all."
        )

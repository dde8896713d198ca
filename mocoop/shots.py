"""Numbers of training images per class, in words; among them "all"."""

from __future__ import annotations

from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

ALL_SHOTS = -1
"""All training images. In files it is this number; 0 stands for methods that use no images."""
ALL = "all"


def shots_text(shots: int) -> str:
    """Returns a number of shots with its noun: 1 shot, 2 shots, all images."""
    return "all images" if shots == ALL_SHOTS else f"{shots} shot{'s' * (shots != 1)}"


def shots_value(shots: int) -> str:
    """Returns a number of shots as a short text for a table: 16, all."""
    return ALL if shots == ALL_SHOTS else str(shots)


def shots_name(shots: int) -> str:
    """Returns a number of shots for the name of a run: 16shot, allshots."""
    return "allshots" if shots == ALL_SHOTS else f"{shots}shot"


def shots_order(shots: int) -> float:
    """Returns what numbers of shots are sorted by: all images come last."""
    return float("inf") if shots == ALL_SHOTS else shots


def shots_of(text: str) -> int:
    """Returns the number of shots that a text names.

    Raises:
        ValueError: for anything but a whole number or "all".
    """
    if text.strip().lower() == ALL:
        return ALL_SHOTS
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"expected a whole number such as 16, or all; got {text!r}.") from error


Shots = Annotated[
    int,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT|all",
        instance_from_str=lambda texts: shots_of(texts[0]),
        is_instance=lambda value: isinstance(value, int) and not isinstance(value, bool),
        str_from_instance=lambda value: [shots_value(value)],
    ),
]
"""The type of options that take a number of shots."""

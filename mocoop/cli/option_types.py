"""Types of options, and how the command line reads numbers, with clear error messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

# The help text of each option states its default; "{None}|PATH (default: None)" would not.
MaybePath = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
MaybeInt = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def number_words() -> ConstructorRegistry:
    """Returns the rules that read integers and decimal numbers, with clear error messages."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def whole(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        return _spec(int, "INT", "a whole number such as 16") if info.type is int else None

    @registry.primitive_rule
    def decimal(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        return _spec(float, "FLOAT", "a number such as 0.1") if info.type is float else None

    return registry


def _spec(kind: Callable[[str], Any], metavar: str, words: str) -> PrimitiveConstructorSpec:
    """Returns the rule that reads one kind of number from text and shows it in the help.

    Args:
        kind: int or float.
        metavar: its placeholder in the help.
        words: what the error message says was expected.
    """

    def read(texts: list[str]) -> Any:
        try:
            return kind(texts[0])
        except ValueError as error:
            raise ValueError(f"expected {words}, got {texts[0]!r}.") from error

    numbers = (int,) if kind is int else (int, float)
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, numbers) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )

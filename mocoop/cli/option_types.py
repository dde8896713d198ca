"""Types of options, and how the command line reads numbers and says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

# Their help says what is taken if they are left out: "{None}|PATH (default: None)" would say less.
MaybePath = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
MaybeInt = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def number_words() -> ConstructorRegistry:
    """Returns how whole and decimal numbers are read, with errors in words."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def whole(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        return _spec(int, "INT", "a whole number such as 16") if info.type is int else None

    @registry.primitive_rule
    def decimal(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        return _spec(float, "FLOAT", "a number such as 0.1") if info.type is float else None

    return registry


def _spec(kind: Callable[[str], Any], metavar: str, words: str) -> PrimitiveConstructorSpec:
    """Returns how a number is read from a text and shown in the help."""

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

"""Reads JSON from files that may be damaged or made by others, and checks it against types."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from mocoop.errors import UserError

LARGEST = 1e30
Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
"""A finite number."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
"""A number of things."""
Word = Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00]*\Z")]
"""A name or a line of text, without the character NUL."""

_REGEX = re.compile(r"matching regex '.*?'(?=, at|$)")

Typed = TypeVar("Typed")


def decode(content: str | bytes, kind: type[Typed]) -> Typed:
    """Returns the value in a JSON text, checked against a type.

    Args:
        content: the text. NaN and Infinity are no JSON.
        kind: a type that msgspec can check: a dataclass, a `Struct`, `dict[str, Any]` ...

    Raises:
        UserError: with what was expected and where, if the text is no JSON or does not fit.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise _in_words(error) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _in_words(_with_line(content) or error) from error


def convert(value: Any, kind: type[Typed]) -> Typed:
    """Returns a value of plain Python types, checked against a type.

    Raises:
        UserError: with what was expected and where, if it does not fit.
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _in_words(error) from error


def _with_line(content: str | bytes) -> Exception | None:
    """Returns the error of Python's own reader, which names the line; None if it has none."""
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        return error
    return None


def _in_words(error: Exception) -> UserError:
    if isinstance(error, RecursionError):
        return UserError("its brackets are nested too deeply")
    text = str(error).replace("`", "").replace(" - at $", ", at ")
    return UserError(_REGEX.sub("without the character NUL", text))

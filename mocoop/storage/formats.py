"""The format number in a saved file: it is read first, and a newer one is told in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mocoop.errors import PathError

KEY = "format"


class NewerError(PathError):
    """An error about something that a newer version of MoCoOp has written."""


def check_format(
    values: Mapping[str, Any],
    newest: int,
    path: Path,
    kind: str = "",
    default: int | None = None,
    advice: str = "Use the version that wrote it.",
    oldest: int = 1,
) -> int:
    """Returns the format of a saved file, from `oldest` to `newest`.

    Args:
        values: the JSON object in the file.
        newest: the newest format that this version reads.
        path: the file or folder, for the message.
        kind: a word before the path in the message, such as `Run`.
        default: the format of files that do not name one; None if all do.
        advice: what to do about a format that this version does not read.
        oldest: the oldest format that this version reads.

    Raises:
        NewerError: for a newer format; nothing else of the file should be read then.
        UserError: if the file names an older format, or none.
    """
    found = values.get(KEY, default)
    formats = f"format {newest}" if newest == oldest else f"formats {oldest} to {newest}"
    if type(found) is not int or found < oldest:
        said = f" has format {repr(found)[:40]}; this version of MoCoOp reads {formats}. {advice}"
        raise PathError(path, said, kind)
    if found > newest:
        raise NewerError(
            path,
            f" was written by a newer version of MoCoOp{_version(values)} in format "
            f"{_short(found)}; this version reads {formats}. Update MoCoOp to use it. Nothing "
            "was changed.",
            kind,
        )
    return found


def _short(number: int) -> str:
    return str(number) if number < 10**9 else "of many digits"


def _version(values: Mapping[str, Any]) -> str:
    """Returns the version that wrote a file, in brackets; empty if the file does not name it."""
    named = values.get("version", values.get("mocoop"))
    return f" ({named[:20]})" if isinstance(named, str) and named else ""

"""Errors that users can fix, with messages for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class UserError(ValueError):
    """An error that the user can fix.

    The message says what was expected, what was given, and how to fix it. The command line prints
    only the message and exits with code 2; the app shows the message on the page. Any other
    exception is a bug of this library and keeps its traceback.
    """


class PathError(UserError):
    """An error about a file or folder, with the path separate from the rest of the message.

    Args:
        path: the file or folder.
        said: the message after the path, beginning with a space or colon.
        kind: a word before the path, such as `Run`.
    """

    def __init__(self, path: Path, said: str, kind: str = "") -> None:
        super().__init__(path, said, kind)
        self.path = path
        self.said = said
        self.kind = kind

    def __str__(self) -> str:
        return self.with_name(str(self.path))

    def with_name(self, name: str) -> str:
        """Returns the message with another name instead of the path, such as an upload's name."""
        return f"{self.kind} {name}{self.said}".lstrip()


def choose_from(kind: str, value: object, known: Sequence[str]) -> UserError:
    """Returns the error for an unknown name; it suggests the most similar known name."""
    hint = did_you_mean(value, known)
    return UserError(f"Unknown {kind} {value!r}: expected one of {', '.join(known)}.{hint}")


def did_you_mean(value: object, known: Sequence[str]) -> str:
    """Returns " Did you mean ...?" with the most similar known name; empty if none is similar.

    >>> did_you_mean("mocop", ("coop", "mocoop"))
    " Did you mean 'mocoop'?"
    """
    import difflib  # imported only when there is an error

    near = difflib.get_close_matches(str(value), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""

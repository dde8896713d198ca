"""The one exception that people are meant to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class UserError(ValueError):
    """Something the user can mend: says what was expected, what came, how to mend it.

    The command line prints its text alone and exits with code 2; the app shows it as a
    message. Anything else that is raised is a bug of ours and keeps its traceback.
    """


class PathError(UserError):
    """What is wrong with a file or folder, whose path stands apart from what is said of it.

    Args:
        path: the file or folder.
        said: what is said of it, from the space or colon after the path on.
        kind: what it is, where that stands before the path.
    """

    def __init__(self, path: Path, said: str, kind: str = "") -> None:
        super().__init__(path, said, kind)
        self.path = path
        self.said = said
        self.kind = kind

    def __str__(self) -> str:
        return self.with_name(str(self.path))

    def with_name(self, name: str) -> str:
        """Returns the text with another name for the path, such as that of an upload."""
        return f"{self.kind} {name}{self.said}".lstrip()


def choose_from(kind: str, value: object, known: Sequence[str]) -> UserError:
    """Returns the error for an unknown name, with the nearest known one suggested."""
    hint = did_you_mean(value, known)
    return UserError(f"Unknown {kind} {value!r}: expected one of {', '.join(known)}.{hint}")


def did_you_mean(value: object, known: Sequence[str]) -> str:
    """Returns a sentence with the known name that is nearest, after a space; empty if none is.

    >>> did_you_mean("mocop", ("coop", "mocoop"))
    " Did you mean 'mocoop'?"
    """
    import difflib  # only where something went wrong

    near = difflib.get_close_matches(str(value), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""

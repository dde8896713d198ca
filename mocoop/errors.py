"""The one exception that people are meant to read."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(ValueError):
    """Something the user can mend: says what was expected, what came, how to mend it.

    The command line prints its text alone and exits with code 2; the app shows it as a
    message. Anything else that is raised is a bug of ours and keeps its traceback.
    """


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

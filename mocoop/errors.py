"""The one exception that people are meant to read."""


class UserError(ValueError):
    """Something the user can mend: says what was expected, what came, how to mend it.

    The command line prints its text alone and exits with code 2; the app shows it as a
    message. Anything else that is raised is a bug of ours and keeps its traceback.
    """


def choose_from(kind: str, value: object, known: list[str] | tuple[str, ...]) -> UserError:
    """Returns the error for an unknown name, with the nearest known one suggested."""
    import difflib

    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UserError(f"Unknown {kind} {value!r}: expected one of {', '.join(known)}.{hint}")

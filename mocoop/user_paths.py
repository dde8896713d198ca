"""Paths that users type, or that a link to the app names."""

from __future__ import annotations

import os
from pathlib import Path

from mocoop.errors import UserError

_SHOWN = 60  # letters of a path in a message


def user_path(text: str) -> Path:
    """Returns a typed path, with `~` as the folder that it stands for; it need not exist.

    >>> user_path("images/pets").name
    'pets'

    Raises:
        UserError: if no file or folder can have this path, as it is too long, has a NUL, or names
            an unknown user after `~`; or if it may not be looked at.
    """
    try:
        path = Path(text).expanduser()
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (RuntimeError, ValueError, OSError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise UserError(
            f"{shown!r} cannot be a file or folder here: {reason.rstrip('.')}. Check the path."
        ) from error
    return path


def folder_setting(variable: str, otherwise: str | Path) -> Path:
    """Returns the folder that an environment variable names; `otherwise` if it is not set.

    Raises:
        UserError: if the value cannot be a path, as in `user_path`.
    """
    chosen = os.environ.get(variable)
    if not chosen:
        return Path(otherwise)
    try:
        return user_path(chosen)
    except UserError as error:
        raise UserError(f"{variable} cannot be used. {error}") from error

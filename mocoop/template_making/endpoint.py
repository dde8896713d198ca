"""Checks of a chat model's endpoint that need no connection and no client."""

from __future__ import annotations

import os
from importlib.util import find_spec
from urllib.parse import urlsplit

from mocoop.errors import UserError

KEYS = ("MOCOOP_CHAT_KEY", "OPENAI_API_KEY")  # variables of the environment, the first one wins


def key_in_use() -> str:
    """Returns the name of the variable that holds the key; "" if there is none."""
    return next((name for name in KEYS if os.environ.get(name, "").strip()), "")


def check_client() -> None:
    """Raises UserError if the package is missing that asks chat models."""
    if find_spec("openai") is None:
        raise UserError(
            "Asking a chat model needs the package openai. Install it with: pip install "
            '"mocoop[templates]". The built-in grammar writes templates without it.'
        )


def check_address(url: str, what: str) -> None:
    """Checks the address of an endpoint; "" is the default one.

    Args:
        url: the address.
        what: what it is called in messages.

    Raises:
        UserError: if it is no address.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if url and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise UserError(
            f"{what}: expected an address such as http://localhost:11434/v1; got {url!r}."
        )


def holds_a_secret(url: str) -> bool:
    """Returns whether an address has a user, a password or a query."""
    parts = urlsplit(url)
    return "@" in parts.netloc or bool(parts.query)

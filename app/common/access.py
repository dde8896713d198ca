"""What visitors may do: everything, or on a read-only public site only look.

With `MOCOOP_READ_ONLY=1 streamlit run streamlit_app.py` the app starts no training, accepts no
typed path on the server, and deletes nothing.
"""

from __future__ import annotations

import os

from mocoop.errors import UserError

VARIABLE = "MOCOOP_READ_ONLY"
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
EXPLAINED = (
    "This is a read-only demo: you can look at finished runs, but not train, change or delete "
    "anything. To train, start the app on your own machine."
)


def read_only() -> bool:
    """Returns whether this server is read-only, so that visitors can only look.

    Raises:
        UserError: if the value of MOCOOP_READ_ONLY means neither yes nor no.
    """
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value not in _YES + _NO:
        raise UserError(f"{VARIABLE} must be 1 or 0; got {value!r}.")
    return value in _YES


def check_may_change() -> None:
    """Checks that visitors may change something; every function that changes something calls it.

    Raises:
        UserError: if the server is read-only.
    """
    if read_only():
        raise UserError(EXPLAINED)

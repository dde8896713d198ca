"""What visitors may do: all of it, or on a public site nothing but look.

`MOCOOP_READ_ONLY=1 streamlit run streamlit_app.py` starts no training, takes no typed path of
a file or folder of the server, and deletes nothing.
"""

from __future__ import annotations

import os

from mocoop.errors import UserError

VARIABLE = "MOCOOP_READ_ONLY"
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
EXPLAINED = (
    "This is a demo for looking at finished runs: nothing is trained, changed or deleted here. "
    "Start the app on your own machine to train."
)


def read_only() -> bool:
    """Returns whether this server lets its visitors only look.

    Raises:
        UserError: for a value of MOCOOP_READ_ONLY that is neither yes nor no.
    """
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value not in _YES + _NO:
        raise UserError(f"{VARIABLE} is 1 or 0; got {value!r}.")
    return value in _YES


def check_may_change() -> None:
    """Makes sure that visitors may change something; to be called where it is done.

    Raises:
        UserError: on a server that lets its visitors only look.
    """
    if read_only():
        raise UserError(EXPLAINED)

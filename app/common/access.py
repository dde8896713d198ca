"""What visitors may do: everything, or on a read-only public site only look.

With `MOCOOP_READ_ONLY=1 streamlit run streamlit_app.py` the app starts no training, accepts no
typed path on the server, and deletes nothing.

A server that other machines can reach opens only data and CLIPs that its owner allows: those with
a name, the folders of benchmarks and uploads, and those in `MOCOOP_FOLDERS`. Otherwise a link such
as `/data?data=/home` would show what is on the server.
"""

from __future__ import annotations

import os
from pathlib import Path

from mocoop.config import DEMO
from mocoop.datasets.benchmarks import data_root
from mocoop.errors import UserError
from mocoop.runs.paths import default_runs

VARIABLE = "MOCOOP_READ_ONLY"
FOLDERS = "MOCOOP_FOLDERS"
ENDPOINT = "OPENAI_BASE_URL"
OWN_MACHINE = ("localhost", "127.0.0.1", "::1")  # addresses that only this machine reaches
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
EXPLAINED = (
    "This is a read-only demo: you can look at finished runs, but not train, change or delete "
    "anything. To train, start the app on your own machine."
)


def read_only() -> bool:
    """Returns whether this server is read-only, so that visitors can only look.

    Raises:
        UserError: if the value of MOCOOP_READ_ONLY means neither yes nor no.
    """
    return switched_on(VARIABLE, otherwise=False)


def check_server() -> None:
    """Checks what every page needs to know of this server; each runs only after it.

    Raises:
        UserError: if the value of MOCOOP_READ_ONLY means neither yes nor no, or the folder of
            runs cannot be read. One that does not exist yet is no error.
    """
    read_only()
    folder = default_runs()
    try:
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UserError(
            f"The folder of runs, {folder}, cannot be read: {error.strerror}. Make it readable, "
            "or set MOCOOP_RUNS to another folder."
        ) from error


def switched_on(variable: str, otherwise: bool) -> bool:
    """Returns whether an environment variable means yes; `otherwise` if it is empty or not set.

    Raises:
        UserError: if its value means neither yes nor no.
    """
    value = os.environ.get(variable, "").strip().lower()
    if not value:
        return otherwise
    if value not in _YES + _NO:
        raise UserError(f"{variable} must be 1 or 0; got {value!r}.")
    return value in _YES


def check_may_change() -> None:
    """Checks that visitors may change something; every function that changes something calls it.

    Raises:
        UserError: if the server is read-only.
    """
    if read_only():
        raise UserError(EXPLAINED)


def check_clip(name: str, address: str | None) -> None:
    """Checks that visitors may have this server compute with a CLIP that they name.

    Raises:
        UserError: if the server is read-only, and it is not the built-in one: a name can be a
            path on the server, or a download; as `check_clip_path`.
    """
    if read_only() and name.strip() != DEMO:
        raise UserError(f"This is a read-only demo: it computes only with the CLIP {DEMO!r}.")
    check_clip_path(name, address)


def check_clip_path(name: str, address: str | None) -> None:
    """Checks that visitors may open the CLIP of a run, or one that they name, if it is a path.

    The rule is that of `check_folder`, but a read-only server whose owner lists no folders opens
    the CLIPs of its finished runs.

    Raises:
        UserError: if the path is not allowed. The message is the same whether it exists or not.
    """
    if _opens_all(address) or (read_only() and not _has_list()):
        return
    from mocoop.clip.names import path_in  # imports open_clip and torch, and pages need not wait

    try:
        path = path_in(name)
    except (RuntimeError, ValueError, OSError):  # no path: the message must not tell this either
        path = Path(name)
    if path is not None and not _is_allowed(str(path)):
        raise UserError(
            "This server opens only CLIPs that open_clip or the Hugging Face Hub know, and files "
            "in folders that its owner allows. Check the name. The owner can add folders with "
            f"{FOLDERS}."
        )


def check_folder(typed: str, address: str | None) -> None:
    """Checks that visitors may open a path of data, which they typed or which a link names.

    With `MOCOOP_FOLDERS`, folders separated as in `PATH`, only data in these folders are opened,
    and those of the benchmarks and of uploads. Without it, a server that only its own machine
    reaches opens every path, unless it is read-only.

    Args:
        typed: the path.
        address: the address that the server listens to; None for all of the machine's.

    Raises:
        UserError: if the path is not allowed. The message is the same whether it exists or not,
            and does not say where it leads.
    """
    if (_opens_all(address) and not read_only()) or _is_allowed(typed):
        return
    raise UserError(
        "This server opens only the data sets in its menu, and folders that its owner allows. "
        f"Choose a data set from the menu. The owner can add folders with {FOLDERS}."
    )


def _has_list() -> bool:
    """Returns whether the server's owner lists the folders that may be opened."""
    return bool(os.environ.get(FOLDERS, "").strip())


def _opens_all(address: str | None) -> bool:
    """Returns whether only this machine reaches the server, and its owner lists no folders."""
    return not _has_list() and address in OWN_MACHINE


def _is_allowed(typed: str) -> bool:
    """Returns whether a path is in a folder of benchmarks or uploads, or in an allowed one."""
    try:
        path = Path(typed).expanduser().resolve()
    except (RuntimeError, ValueError, OSError):
        return False
    listed = [one for one in os.environ.get(FOLDERS, "").split(os.pathsep) if one.strip()]
    allowed = (one.expanduser().resolve() for one in (data_root(), *map(Path, listed)))
    return any(map(path.is_relative_to, allowed))


def check_endpoint(url: str, address: str | None) -> None:
    """Checks that visitors may have this server ask a chat model at an address.

    The server sends its own key there. So a server that other machines reach asks only the
    endpoint that its owner names in `OPENAI_BASE_URL`.

    Args:
        url: the endpoint's address; "" for the owner's, or OpenAI's own.
        address: the address that the server listens to; None for all of the machine's.

    Raises:
        UserError: if the server is read-only, or must not ask there.
    """
    check_may_change()
    if address in OWN_MACHINE:
        return
    named = os.environ.get(ENDPOINT, "").strip().rstrip("/")
    if not named or url.rstrip("/") not in ("", named):
        raise UserError(
            "This server can be reached from other machines, so it asks a chat model only at the "
            f"address that its owner sets with {ENDPOINT}. Leave the address empty then."
        )

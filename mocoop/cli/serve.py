"""The command serve: answers pictures over HTTP with a finished run."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from importlib import import_module

from mocoop.cli.option_types import RunName
from mocoop.errors import UserError
from mocoop.runs.paths import find_run_or_export
from mocoop.slow_imports import import_slow

PACKAGES = ("fastapi", "python_multipart", "uvicorn")
BACKLOG = 128  # connections that wait to be accepted


@dataclass(frozen=True)
class ServeCommand:
    """Answer pictures over HTTP with a finished run, or with a classifier of `mocoop export`.

    It needs: pip install "mocoop[serve]"

    Examples:
        mocoop serve RUN
        curl -F file=@photo.jpg http://127.0.0.1:8000/predict
    """

    run: RunName
    """Folder or name of the run, or folder of an exported classifier."""
    host: str = "127.0.0.1"
    """Address to listen to; 0.0.0.0 for all of this machine's. There is no password."""
    port: int = 8000
    """Port to listen to; 0 for any that is free."""
    batch: int = 32
    """Pictures that are encoded at once, if that many are waiting."""
    at_once: int = 64
    """Requests that are read or answered at once; further ones are asked to come again."""
    megabytes: float = 10.0
    """Largest file of a picture."""
    seconds: float = 30.0
    """Time in which a request must have arrived."""


def serve(command: ServeCommand) -> None:
    """Serves until it is stopped.

    Raises:
        UserError: if the run cannot be opened, an option is not valid, the address cannot be
            used, or packages are missing.
    """
    for name in ("batch", "at_once", "megabytes", "seconds"):
        if getattr(command, name) <= 0:
            raise UserError(f"--{name.replace('_', '-')} must be more than 0.")
    if not 0 <= command.port < 2**16:
        raise UserError(f"--port must be between 0 and 65535; got {command.port}.")
    _check_packages()
    path, is_export = find_run_or_export(command.run)
    with _listening(command.host, command.port) as listener:
        import uvicorn

        import_slow()
        from mocoop.service.gate import Limits
        from mocoop.service.service import Served, make_service

        limits = Limits(command.megabytes, command.at_once, command.seconds)
        service = make_service(Served.opened(path, is_export), limits, command.batch)
        _listen(listener, command.host)  # from now on clients are not refused, but wait
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(
            f"http://{shown}:{port} answers pictures with {path.name}; stop with Ctrl+C",
            flush=True,
        )
        uvicorn.Server(uvicorn.Config(service, log_level="warning")).run([listener])


def _check_packages() -> None:
    """Raises UserError if a package that only the service needs is missing."""
    try:
        for name in PACKAGES:
            import_module(name)
    except ImportError as error:
        raise UserError(
            f"The service needs the package {error.name}. Install it with: pip install "
            '"mocoop[serve]"'
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    """Returns a socket with an address, which does not listen yet.

    Raises:
        UserError: if the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _unusable(host, port, error) from error
    return listener


def _listen(listener: socket.socket, host: str) -> None:
    """Lets clients connect.

    Raises:
        UserError: if another process does so at the same address since the socket has it.
    """
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _unusable(host, listener.getsockname()[1], error) from error


def _unusable(host: str, port: int, error: OSError) -> UserError:
    return UserError(
        f"{host}:{port} cannot be used ({error.strerror or error}). Choose another --host or "
        "--port."
    )

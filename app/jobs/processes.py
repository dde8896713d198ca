"""Starts and stops the processes of jobs, which do not end with the server."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from mocoop.errors import UserError

ROOT = Path(__file__).resolve().parents[2]

Stream = int | IO[bytes]
"""Where a process reads or writes: a file, or a constant of `subprocess`."""


def start_process(
    module: Sequence[str], log: Path, environment: Mapping[str, str], what: str
) -> subprocess.Popen[bytes]:
    """Returns the new process of a job, in a session of its own.

    Args:
        module: the Python module that it runs, and its arguments.
        log: the file to which its output is appended.
        environment: its environment variables.
        what: the kind of job, for the error message.

    Raises:
        OSError: if the log cannot be written.
        UserError: if the system cannot start another process.
    """
    with log.open("ab") as output:
        try:
            return start_module(module, environment, output=output, errors=subprocess.STDOUT)
        except OSError as error:
            raise cannot_start(what, error) from error


def cannot_start(what: str, error: OSError) -> UserError:
    """Returns what a user is told if the system cannot start a job's process."""
    return UserError(
        f"{what}'s process cannot be started: {error.strerror or error}. Close other "
        "programs, and try again."
    )


def start_module(
    module: Sequence[str],
    environment: Mapping[str, str],
    given: Stream = subprocess.DEVNULL,
    output: Stream = subprocess.DEVNULL,
    errors: Stream = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Returns a new process that runs a Python module, in a session of its own.

    Args:
        module: the module, and its arguments.
        environment: its environment variables.
        given: its standard input.
        output: its standard output.
        errors: its standard error.

    Raises:
        OSError: if the system cannot start another process.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=dict(environment),
        stdin=given,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    # A thread waits for the process and reads its exit status, so that no zombie remains.
    threading.Thread(target=process.wait, daemon=True, name=f"reap {process.pid}").start()
    return process


def stop_process(process: psutil.Process, patience: float) -> None:
    """Stops a process, and returns when it has ended.

    Args:
        process: the process.
        patience: seconds to wait after SIGTERM before the process is killed.
    """
    with suppress(psutil.NoSuchProcess):  # it has already ended
        process.terminate()
        try:
            process.wait(patience)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(patience)

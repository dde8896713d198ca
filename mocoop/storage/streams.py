"""Paths that are no files on a disk: pipes, terminals, and open files such as /dev/stdout.

What is written to them is sent on. A new file in their place, as for files on a disk, would
destroy them.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from pathlib import Path

from mocoop.errors import PathError

_MOST_LINKS = 40  # as many as Linux follows
_DESCRIPTORS = Path("/dev/fd")  # a link into /proc on Linux, a folder of devices on macOS


def is_stream(path: Path) -> bool:
    """Returns whether what is written to a path is sent on, so that no file is replaced.

    Raises:
        UserError: for a socket or a disk, into which no file is written.
    """
    if _open_file(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:  # a new file, or a broken link
        return False
    if stat.S_ISSOCK(mode) or stat.S_ISBLK(mode):
        kind = "socket" if stat.S_ISSOCK(mode) else "disk"
        raise PathError(path, f" is a {kind}: expected a file. Choose another name.")
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def send(content: Path, path: Path) -> None:
    """Sends the bytes of a file to a stream; if it is a pipe, this waits for a reader.

    Raises:
        UserError: for an open file that is only read, such as /dev/stdin.
    """
    open_file = _open_file(path)
    try:
        if open_file is not None and open_file.parent == _DESCRIPTORS.resolve():
            sys.stdout.flush()  # what was printed before comes first
            target = os.dup(int(open_file.name))  # what is printed later comes behind it
        else:
            target = os.open(path, os.O_WRONLY | os.O_APPEND)
        with content.open("rb") as source, os.fdopen(target, "wb") as stream:
            shutil.copyfileobj(source, stream)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        raise PathError(path, " is not open for writing. Choose another name.") from error


def _open_file(path: Path) -> Path | None:
    """Returns the path of an open file that links lead to: a number in /dev/fd or in /proc."""
    for _ in range(_MOST_LINKS):
        folder = path.parent.resolve()
        if path.name.isdigit() and (folder == _DESCRIPTORS or folder.is_relative_to("/proc")):
            return folder / path.name
        if not path.is_symlink():
            return None
        path = folder / path.readlink()
    return None

"""Extracts untrusted tar archives of images, compressed or not, within limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from mocoop.errors import UserError
from mocoop.storage.archives import (
    CHUNK,
    IMAGES_ADVICE,
    Limits,
    explain_errors,
    is_content,
    safe_path,
    same_path_key,
    too_large,
)

_MOST_AT_ONCE = 64 * 2**20  # bytes: the header of a tar entry is read in one piece
_STARTS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))


def extract_tar(source: IO[bytes], folder: Path, limits: Limits, name: str) -> int:
    """Extracts an untrusted tar of images into an empty folder; returns how many files it has.

    Hidden files and files that operating systems add are left out.

    Args:
        source: the tar, open at its start, compressed by gzip, bzip2, xz or not at all.
        folder: the folder to extract to.
        limits: how much the tar may contain.
        name: name of the tar in messages.

    Raises:
        UserError: for a file that is no tar, is damaged or above the limits; for links, paths
            that lead out of the folder, or a path that occurs twice.
    """
    left, entries, files = limits.unpacked, 0, 0
    seen: set[str] = set()
    with (
        explain_errors(name, IMAGES_ADVICE),
        _unpacked(source) as stream,
        tarfile.open(fileobj=cast(IO[bytes], _Guarded(stream, name)), mode="r:") as tar,
    ):
        for member in tar:
            entries += 1
            if entries > limits.entries:
                raise UserError(f"{name} has more than {limits.entries} entries. {IMAGES_ADVICE}")
            path = safe_path(member.name, name, IMAGES_ADVICE)
            left -= member.size
            if left < 0:
                raise too_large(name, limits, IMAGES_ADVICE)
            if member.isdir() or not is_content(path):
                continue
            _check(member, path, name, seen)
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None  # it is a regular file
            with content, file.open("xb") as unpacked:
                while chunk := content.read(CHUNK):
                    unpacked.write(chunk)
            files += 1
    return files


def _check(member: tarfile.TarInfo, path: PurePosixPath, name: str, seen: set[str]) -> None:
    """Raises UserError unless an entry is a regular file of a path of its own."""
    if not member.isreg():
        what = "a link" if member.issym() or member.islnk() else "not a regular file"
        raise UserError(f"{name}: {path} is {what}. {IMAGES_ADVICE}")
    key = same_path_key(path)
    if key in seen:
        raise UserError(f"{name} contains {path} twice. {IMAGES_ADVICE}")
    seen.add(key)


def _unpacked(source: IO[bytes]) -> IO[bytes]:
    """Returns the tar without its compression."""
    head = source.read(6)
    source.seek(0)
    opener: Any = next((opener for start, opener in _STARTS if head.startswith(start)), None)
    return source if opener is None else opener(source)


class _Guarded:
    """A stream that refuses to read very much at once, which an honest tar never needs."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name = stream, name

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise UserError(f"{self._name} is damaged or not safe to read. {IMAGES_ADVICE}")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

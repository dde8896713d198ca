"""Downloads benchmark sets: resumes a stopped download, checks checksums, extracts safely."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mocoop.catalog.sources import SOURCES, Remote, Source
from mocoop.datasets.benchmarks import BENCHMARKS, TABLE
from mocoop.errors import UserError, choose_from
from mocoop.storage.archives import extract_trusted, new_folder

# Called with a file's name, the bytes received and the bytes in total (None if unknown).
Progress = Callable[[str, int, int | None], None]

PARTS = ".downloads"  # folder below the data root for files that are not complete yet
_TIMEOUT = 60.0
_RETRIES = 2


def source_of(name: str) -> Source:
    """Returns the source of a benchmark set.

    Raises:
        UserError: for an unknown name, or a set without a known address.
    """
    if name not in BENCHMARKS:
        raise choose_from("benchmark set", name, BENCHMARKS)
    if name not in SOURCES:
        raise UserError(
            f"No address of {name} is known, so it cannot be downloaded. Put it below the data "
            f"root as {TABLE[name].layout}."
        )
    return SOURCES[name]


def to_fetch(name: str, root: Path) -> list[Remote]:
    """Returns the files of a set that still have to be downloaded."""
    return [remote for remote in source_of(name).files if not _exists(root / remote.to)]


def download(name: str, root: Path, progress: Progress | None = None) -> list[str]:
    """Downloads the missing files of a set and returns the new paths, relative to the root.

    A stopped download continues where it stopped. An archive is removed after it is extracted.

    Args:
        name: one of `BENCHMARKS`.
        root: the data root.
        progress: called while bytes arrive.

    Raises:
        UserError: for an unknown name, an address that does not answer, a wrong checksum, an
            archive without the expected folder, a full disk or a folder that is not writable.
    """
    new = []
    for remote in to_fetch(name, root):
        file = fetch(remote, root / PARTS, progress)
        target = root / remote.to
        if remote.part is None:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
        else:
            _extract(file, remote, target)
            file.unlink()
        new.append(remote.to)
    if (root / PARTS).is_dir() and not any((root / PARTS).iterdir()):
        (root / PARTS).rmdir()
    return new


def fetch(remote: Remote, folder: Path, progress: Progress | None = None) -> Path:
    """Downloads a file to a folder, checks its checksum and returns its path.

    Raises:
        UserError: if the file cannot be downloaded, or has the wrong checksum.
    """
    import gdown
    from requests import RequestException

    name = Path(remote.to).name
    file = folder / f"{name}-{hashlib.sha256(remote.url.encode()).hexdigest()[:8]}"
    drive = remote.url.removeprefix("drive:") if remote.url.startswith("drive:") else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        gdown.download(
            url=None if drive else remote.url,
            id=drive,
            output=str(file),
            quiet=True,
            resume=True,
            retries=_RETRIES,
            timeout=_TIMEOUT,
            use_cookies=False,
            progress=None if progress is None else lambda *counts: progress(name, *counts),
        )
    except (gdown.DownloadError, RequestException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise UserError(
            f"{name} cannot be downloaded from {address(remote)}: {reason}. Check the connection "
            f"and the free space in {folder}, and run the same command again: it continues where "
            f"it stopped. Or download the file by hand and put it at {remote.to}."
        ) from error
    _check_sum(file, remote)
    return file


def address(remote: Remote) -> str:
    """Returns the address of a file as a link for a browser."""
    drive = remote.url.removeprefix("drive:")
    return remote.url if drive == remote.url else f"https://drive.google.com/file/d/{drive}/view"


def _check_sum(file: Path, remote: Remote) -> None:
    """Removes the file and raises UserError if its MD5 sum is not the published one."""
    if not remote.md5:
        return
    with file.open("rb") as content:
        md5 = hashlib.file_digest(content, "md5").hexdigest()
    if md5 != remote.md5:
        file.unlink()
        raise UserError(
            f"{remote.url}: wrong checksum. Expected the MD5 sum {remote.md5}, got {md5}. The "
            "file was removed. Download it again; if this does not help, the file at this address "
            "has changed."
        )


def _extract(file: Path, remote: Remote, target: Path) -> None:
    """Extracts an archive and moves its folder `remote.part` to the target."""
    temporary = file.with_name(f"{file.name}.extracted")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        extract_trusted(file, temporary)
        if remote.inner:
            inner, inner_folder = temporary / remote.inner, temporary / ".inner"
            if not inner.is_file():
                raise _part_missing(remote, remote.inner)
            extract_trusted(inner, inner_folder)
            part = inner_folder / (remote.part or "")
        else:
            part = temporary / (remote.part or "")
        if not part.is_dir():
            raise _part_missing(remote, remote.part or "folder")
        if target.is_dir():
            target.rmdir()  # an empty folder that the user made before
        with new_folder(target) as folder:
            for path in part.iterdir():
                path.rename(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _part_missing(remote: Remote, path: str) -> UserError:
    return UserError(
        f"{remote.url} does not contain {path}: the file at this address has changed. Download "
        f"the set by hand and put it at {remote.to}."
    )


def _exists(path: Path) -> bool:
    """Returns whether a path is a file, or a folder that is not empty."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))

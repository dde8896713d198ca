"""Fetches a benchmark set: resumes where it stopped, checks sums, extracts safely and whole."""

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

# Called with a file's name, the bytes that are there and those in all (None if unknown).
Progress = Callable[[str, int, int | None], None]

PARTS = ".downloads"  # below the data root: what was fetched so far
_TIMEOUT = 60.0
_RETRIES = 2


def source_of(name: str) -> Source:
    """Returns where a benchmark set comes from.

    Raises:
        UserError: for an unknown name, or a set that no address is known of.
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
    """Returns the files of a set that are not there yet."""
    return [remote for remote in source_of(name).files if not _is_there(root / remote.to)]


def download(name: str, root: Path, progress: Progress | None = None) -> list[str]:
    """Fetches what is missing of a set and returns the paths below the root that are new.

    A download that was stopped goes on where it was; a file that is whole is extracted, and
    only then removed.

    Args:
        name: one of `BENCHMARKS`.
        root: the data root.
        progress: called while bytes arrive.

    Raises:
        UserError: for an unknown name, an address that does not answer, a wrong checksum, an
            archive that lacks its part, a full disk or a folder that cannot be written to.
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
    """Returns the file of a remote in a folder, fetched whole and with the right checksum.

    Raises:
        UserError: if it cannot be had.
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
            f"{name} cannot be fetched from {address(remote)}: {reason}. Check the connection "
            f"and the space at {folder}, and run the same command again: it goes on where it "
            f"stopped. Or fetch it by hand and put it at {remote.to}."
        ) from error
    _check_sum(file, remote)
    return file


def address(remote: Remote) -> str:
    """Returns the address of a file for people and browsers."""
    drive = remote.url.removeprefix("drive:")
    return remote.url if drive == remote.url else f"https://drive.google.com/file/d/{drive}/view"


def _check_sum(file: Path, remote: Remote) -> None:
    """Raises UserError, and removes the file, unless its MD5 sum is the published one."""
    if not remote.md5:
        return
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "md5").hexdigest()
    if found != remote.md5:
        file.unlink()
        raise UserError(
            f"{remote.url}: wrong checksum. Expected the MD5 sum {remote.md5}, got {found}. The "
            "file was removed: fetch it again, and if that does not help, what is at this address "
            "has changed."
        )


def _extract(file: Path, remote: Remote, target: Path) -> None:
    """Extracts the part of an archive that becomes the target folder."""
    aside = file.with_name(f"{file.name}.extracted")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        extract_trusted(file, aside)
        if remote.inner:
            inner, aside_of_inner = aside / remote.inner, aside / ".inner"
            if not inner.is_file():
                raise _lacks(remote, remote.inner)
            extract_trusted(inner, aside_of_inner)
            part = aside_of_inner / (remote.part or "")
        else:
            part = aside / (remote.part or "")
        if not part.is_dir():
            raise _lacks(remote, remote.part or "folder")
        if target.is_dir():
            target.rmdir()  # an empty folder that someone made beforehand
        with new_folder(target) as folder:
            for path in part.iterdir():
                path.rename(folder / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _lacks(remote: Remote, path: str) -> UserError:
    return UserError(
        f"{remote.url} holds no {path}: what is at this address has changed. Get the set by hand "
        f"and put it at {remote.to}."
    )


def _is_there(path: Path) -> bool:
    """Returns whether a file, or a folder with something in it, is there."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))

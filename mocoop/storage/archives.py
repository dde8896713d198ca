"""Archives from outside, extracted safely: within limits, inside the target, all or nothing."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mocoop.errors import UserError

_CHUNK = 2**20
_UTF8_FLAG = 0x800
_ENCRYPTED_FLAG = 0x1
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")  # what systems add to archives by themselves


@dataclass(frozen=True)
class Limits:
    """What an archive from a stranger may hold."""

    entries: int = 5000
    """Files and folders."""
    unpacked: int = 2 * 2**30
    """Bytes, all files together, as they are when unpacked."""


def extract_zip(
    source: Path | IO[bytes], target: Path, limits: Limits, name: str = "the zip"
) -> None:
    """Extracts a zip from anyone into a new folder, or raises and leaves nothing behind.

    Sizes are counted while extracting, whatever the zip says of itself. Files that systems add
    by themselves are left out; a single folder around everything is taken away.

    Args:
        source: the zip, as a path or an open file.
        target: the new folder; it must not exist.
        limits: how much it may hold.
        name: what to call it in messages.

    Raises:
        UserError: for a file that is no zip, is damaged, encrypted or over the limits, for
            paths that lead out of the folder, links, names twice, or a disk that is full.
    """
    with new_folder(target) as folder, _words(name), zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        if len(entries) > limits.entries:
            raise UserError(
                f"{name} has {len(entries)} entries; at most {limits.entries} are taken. Make "
                "several smaller data sets, or extract it yourself and give the folder's path."
            )
        left = limits.unpacked
        taken: set[str] = set()
        for entry in entries:
            path = _safe_path(_entry_name(entry), name)
            if path is None or entry.is_dir():
                continue
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise UserError(f"{name}: {path} is a link. Put the file itself into the zip.")
            if entry.flag_bits & _ENCRYPTED_FLAG:
                raise UserError(f"{name} is encrypted. Make one without a password.")
            if str(path).casefold() in taken:
                raise UserError(f"{name} holds {path} twice. Rename one of them.")
            taken.add(str(path).casefold())
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, file.open("xb") as unpacked:
                left = _copy(packed, unpacked, left, limits, name)
        if not taken:
            raise UserError(f"{name} holds no file. Expected a folder of images for each class.")
        _without_wrapper(folder)


def extract_trusted(archive: Path, target: Path) -> None:
    """Extracts a zip or tar whose checksum is known into a new folder, or leaves nothing.

    Even so no path may lead out of the folder.

    Raises:
        UserError: for a file that is damaged or unsafe, or a disk that is full.
    """
    with new_folder(target) as folder, _words(archive.name):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for entry in packed.infolist():
                    if _safe_path(_entry_name(entry), archive.name) is not None:
                        packed.extract(entry, folder)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes `target` on success and is removed otherwise.

    Raises:
        UserError: if there is something at `target` already, or nothing can be written there.
    """
    if target.exists():
        raise UserError(f"{target} exists already. Remove or rename it first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {target.parent}: {error.strerror}. Make it writable, or "
            "set MOCOOP_DATA to another folder."
        ) from error
    try:
        yield temporary
        temporary.chmod(0o755)
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _words(name: str) -> Iterator[None]:
    """Turns what reading an archive raises into words."""
    try:
        yield
    except tarfile.FilterError as error:
        raise UserError(f"{name} is not safe to extract: {error}. Do not use it.") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(
            f"{name} is no archive that can be read, or damaged ({error}). Get or make it again."
        ) from error
    except (NotImplementedError, RuntimeError) as error:
        raise UserError(f"{name} cannot be unpacked ({error}). Make a plain zip.") from error
    except OSError as error:
        raise UserError(
            f"{name} cannot be extracted: {error.strerror or error}. Nothing of it was kept; free "
            "some space or shorten the names, and try again."
        ) from error


def _entry_name(entry: zipfile.ZipInfo) -> str:
    """Returns the name of a zip's entry; many programs write UTF-8 without saying so."""
    if entry.flag_bits & _UTF8_FLAG:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _safe_path(text: str, name: str) -> PurePosixPath | None:
    """Returns the path of an entry inside the folder; None for files that do not count."""
    path = PurePosixPath(text.replace("\\", "/"))
    drive = len(path.parts[:1]) and path.parts[0][1:2] == ":"
    if path.is_absolute() or drive or ".." in path.parts or "\0" in text:
        raise UserError(
            f"{name} is not safe: {text!r} leads out of its folder. Make it again from the folder "
            "of images."
        )
    hidden = any(part.startswith(".") or part in _IGNORED for part in path.parts)
    return None if hidden or not path.parts else path


def _copy(packed: IO[bytes], unpacked: IO[bytes], left: int, limits: Limits, name: str) -> int:
    """Copies an entry and returns how many bytes may still come."""
    while chunk := packed.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise UserError(
                f"{name} holds more than {limits.unpacked / 2**30:g} GB when unpacked. Make the "
                "images smaller, or extract it yourself and give the folder's path."
            )
        unpacked.write(chunk)
    return left


def _without_wrapper(folder: Path) -> None:
    """Takes away folders that hold nothing but another folder, around everything."""
    inside = list(folder.iterdir())
    while len(inside) == 1 and inside[0].is_dir():
        wrapper = inside[0]
        deeper = list(wrapper.iterdir())
        if not any(path.is_dir() for path in deeper):
            return  # the only folder is a class
        aside = wrapper.rename(folder / ".wrapper")
        for path in list(aside.iterdir()):
            path.rename(folder / path.name)
        aside.rmdir()
        inside = list(folder.iterdir())

"""Extracts archives safely: within limits, only into the target folder, all or nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mocoop.errors import UserError
from mocoop.storage.atomic import remove_of_killed, temporary_prefix
from mocoop.storage.zip_names import ZipNames, zip_names

CHUNK = 2**20
_ENCRYPTED_FLAG = 0x1
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
IMAGES_ADVICE = (
    "Make the zip again from the folder of images, or extract it and give the folder's path."
)
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")  # added by operating systems
OWN_SUFFIX = ".mocoop"  # of the folder of changes beside an archive


@dataclass(frozen=True)
class Limits:
    """How much an untrusted archive may contain."""

    entries: int = 5000
    """Number of files and folders."""
    unpacked: int = 2 * 2**30
    """Size of all files together after extraction, in bytes."""


@dataclass(frozen=True)
class UntrustedZip:
    """An untrusted zip whose entries have all been checked; nothing is extracted yet.

    No path leads out of the target folder. No two paths are equal, even if upper and lower case
    are ignored. All entries are regular files: no links, no devices, nothing encrypted.
    """

    name: str
    """Name of the zip in messages."""
    advice: str
    """A sentence that says how to make a valid zip."""
    limits: Limits
    archive: zipfile.ZipFile
    entries: dict[PurePosixPath, zipfile.ZipInfo]
    """Files by path, in the zip's order."""

    def read(self, path: PurePosixPath) -> bytes:
        """Returns a file's bytes."""
        return self.archive.read(self.entries[path])

    def extract(self, path: PurePosixPath, file: Path, left: int) -> tuple[int, str]:
        """Extracts a file of the zip; returns its size in bytes and its SHA-256.

        Args:
            path: path of the file in the zip.
            file: path of the new file.
            left: how many bytes may still be written. The bytes are counted, because the sizes
                that a zip declares can be wrong.

        Raises:
            UserError: if the file has more bytes.
        """
        size, digest = 0, hashlib.sha256()
        with self.archive.open(self.entries[path]) as packed, file.open("xb") as unpacked:
            while chunk := packed.read(CHUNK):
                size += len(chunk)
                if size > left:
                    raise too_large(self.name, self.limits, self.advice)
                digest.update(chunk)
                unpacked.write(chunk)
        return size, digest.hexdigest()


@contextmanager
def untrusted_zip(
    source: Path | IO[bytes],
    name: str,
    advice: str,
    limits: Limits,
    counts: Callable[[PurePosixPath], bool] = lambda path: True,
    names: ZipNames | None = None,
) -> Iterator[UntrustedZip]:
    """Yields an untrusted zip with checked entries; errors in reading it become UserError.

    Args:
        source: the zip, as a path or an open file.
        name: name of the zip in messages.
        advice: a sentence that says how to make a valid zip.
        limits: how much it may contain.
        counts: returns whether a path is used; other entries are ignored without a check.
        names: how the names of entries are read; by default this is detected.

    Raises:
        UserError: for a file that is not a zip, is damaged, encrypted or above the limits; for
            paths that lead out of the folder, links, or a path that occurs twice; if the disk is
            full.
    """
    with explain_errors(name, advice), zipfile.ZipFile(source) as archive:
        infos = archive.infolist()
        if len(infos) > limits.entries:
            raise UserError(
                f"{name} has {len(infos)} entries; at most {limits.entries} are allowed. {advice}"
            )
        entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
        seen: set[str] = set()
        read = (names or zip_names(infos)).read
        for info in infos:
            path = safe_path(read(info), name, advice)
            if not path.parts or info.is_dir() or not counts(path):
                continue
            _check_kind(info, path, name, advice)
            if same_path_key(path) in seen:
                raise UserError(f"{name} contains {path} twice. {advice}")
            seen.add(same_path_key(path))
            entries[path] = info
        if sum(info.file_size for info in entries.values()) > limits.unpacked:
            raise too_large(name, limits, advice)
        yield UntrustedZip(name, advice, limits, archive, entries)


def extract_zip(
    source: Path | IO[bytes],
    target: Path,
    limits: Limits,
    name: str = "the zip",
    names: ZipNames | None = None,
) -> None:
    """Extracts an untrusted zip of images into a new folder; after an error nothing is left.

    Hidden files and files that operating systems add are left out.

    Args:
        source: the zip, as a path or an open file.
        target: the new folder; it must not exist.
        limits: how much the zip may contain.
        name: name of the zip in messages.
        names: how the names of entries are read; by default this is detected.

    Raises:
        UserError: for the same reasons as `untrusted_zip`, and for a zip without files.
    """
    with (
        new_folder(target) as folder,
        untrusted_zip(source, name, IMAGES_ADVICE, limits, is_content, names) as archive,
    ):
        left = limits.unpacked
        for path in archive.entries:
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            left -= archive.extract(path, file, left)[0]
        if not archive.entries:
            raise UserError(
                f"{name} contains no file. Expected a folder of images for each class."
            )


def _check_kind(info: zipfile.ZipInfo, path: PurePosixPath, name: str, advice: str) -> None:
    """Raises UserError unless an entry is a regular file with a usual compression."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "a link" if kind == stat.S_IFLNK else "not a regular file"
        raise UserError(f"{name}: {path} is {what}. {advice}")
    if info.flag_bits & _ENCRYPTED_FLAG:
        raise UserError(f"{name} is encrypted. Make a zip without a password.")
    if info.compress_type not in _COMPRESSIONS:
        raise UserError(f"{name}: {path} has an unusual compression. {advice}")


def too_large(name: str, limits: Limits, advice: str) -> UserError:
    """Returns the error for an archive with more bytes than allowed."""
    return UserError(
        f"{name} contains more than {limits.unpacked / 2**30:g} GB of files. {advice}"
    )


def extract_trusted(archive: Path, target: Path) -> None:
    """Extracts a zip or tar from a known source into a new folder; no limits apply.

    Paths that lead out of the folder are refused here too. After an error nothing is left.

    Raises:
        UserError: for a damaged or unsafe file, or if the disk is full.
    """
    with new_folder(target) as folder, explain_errors(archive.name, "Get it again."):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                read = zip_names(packed.infolist()).read
                for entry in packed.infolist():
                    if is_content(safe_path(read(entry), archive.name, "Do not use it.")):
                        packed.extract(entry, folder)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yields a temporary folder, which is renamed to `target` on success, else removed.

    Raises:
        UserError: if `target` exists already, or its parent folder is not writable.
    """
    if target.exists():
        raise UserError(f"{target} exists already. Remove or rename it first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_of_killed(target.parent)
        prefix = temporary_prefix(target.name)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {target.parent}: {error.strerror}. Make it writable, or "
            "set MOCOOP_DATA to another folder."
        ) from error
    try:
        yield temporary
        temporary.chmod(0o755)
        _rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(folder: Path, target: Path) -> None:
    """Gives a folder its name, which another process may have taken in the meantime."""
    try:
        os.rename(folder, target)
    except OSError as error:
        if target.exists():
            raise UserError(f"{target} exists already. Remove or rename it first.") from error
        raise


@contextmanager
def explain_errors(name: str, advice: str) -> Iterator[None]:
    """Raises UserError with an explanation for errors in reading an archive."""
    try:
        yield
    except tarfile.FilterError as error:
        raise UserError(f"{name} is not safe to extract: {error}. Do not use it.") from error
    except UserError:
        raise
    # ValueError: of a place in the file that is before its start, and of names.
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise UserError(
            f"{name} is damaged or not a supported archive ({error}). {advice}"
        ) from error
    # zipfile raises these for an unknown compression and for an encrypted file.
    except (NotImplementedError, RuntimeError) as error:
        raise UserError(f"{name} cannot be extracted ({error}). Make a standard zip.") from error
    except OSError as error:
        raise UserError(
            f"{name} cannot be extracted: {error.strerror or error}. Nothing of it was kept; free "
            "some space or shorten the names, and try again."
        ) from error


def safe_path(text: str, name: str, advice: str) -> PurePosixPath:
    """Returns the relative path of an entry.

    Raises:
        UserError: if the path leads out of the target folder.
    """
    path = PurePosixPath(text.replace("\\", "/"))
    drive = len(path.parts[:1]) and path.parts[0][1:2] == ":"
    if path.is_absolute() or drive or ".." in path.parts or "\0" in text:
        raise UserError(f"{name} is not safe: {text!r} leads out of its folder. {advice}")
    return path


def same_path_key(path: PurePosixPath) -> str:
    """Returns the key of a path: paths of one key are one file on some operating system."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def is_content(path: PurePosixPath) -> bool:
    """Returns whether a path is neither hidden nor a file that operating systems add."""
    return bool(path.parts) and all(map(is_content_name, path.parts))


def is_content_name(name: str) -> bool:
    """Returns whether a name is neither hidden nor one that operating systems or MoCoOp add."""
    return not name.startswith(".") and name not in _IGNORED and not name.endswith(OWN_SUFFIX)

"""Archives from outside, extracted safely: within limits, inside the target, all or nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mocoop.errors import UserError

_CHUNK = 2**20
_UTF8_FLAG = 0x800
_ENCRYPTED_FLAG = 0x1
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
IMAGES_ADVICE = (
    "Make it again from the folder of images, or extract it yourself and give the folder's path."
)
_IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")  # what systems add to archives by themselves


@dataclass(frozen=True)
class Limits:
    """What an archive from a stranger may hold."""

    entries: int = 5000
    """Files and folders."""
    unpacked: int = 2 * 2**30
    """Bytes, all files together, as they are when unpacked."""


@dataclass(frozen=True)
class UntrustedZip:
    """A zip from anyone, whose every entry has been checked; nothing was unpacked yet.

    Paths lead nowhere but into the zip's own folders, no two are the same on any system, and
    entries are plain files: no links, no devices, nothing encrypted.
    """

    name: str
    """What to call it in messages."""
    advice: str
    """How to make a better one, as a sentence."""
    limits: Limits
    archive: zipfile.ZipFile
    entries: dict[PurePosixPath, zipfile.ZipInfo]
    """Files by path, in the zip's order."""

    def read(self, path: PurePosixPath) -> bytes:
        """Returns a file's bytes."""
        return self.archive.read(self.entries[path])

    def extract(self, path: PurePosixPath, file: Path, left: int) -> tuple[int, str]:
        """Writes a file of the zip to a new one; returns its size and the sum of its bytes.

        Args:
            path: the file in the zip.
            file: the new file.
            left: how many bytes may still come; counted, whatever the zip says of itself.

        Raises:
            UserError: for more bytes.
        """
        size, digest = 0, hashlib.sha256()
        with self.archive.open(self.entries[path]) as packed, file.open("xb") as unpacked:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > left:
                    raise _too_large(self.name, self.limits, self.advice)
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
) -> Iterator[UntrustedZip]:
    """Yields a zip from anyone, its entries checked; what reading it raises is said in words.

    Args:
        source: the zip, as a path or an open file.
        name: what to call it in messages.
        advice: how to make a better one, as a sentence.
        limits: how much it may hold.
        counts: says of a path whether it is looked at; others are left out unseen.

    Raises:
        UserError: for a file that is no zip, is damaged, encrypted or over the limits, for
            paths that lead out of the folder, links, names twice, or a disk that is full.
    """
    with _words(name, advice), zipfile.ZipFile(source) as archive:
        infos = archive.infolist()
        if len(infos) > limits.entries:
            raise UserError(
                f"{name} has {len(infos)} entries; at most {limits.entries} are taken. {advice}"
            )
        entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
        taken: set[str] = set()
        for info in infos:
            path = _safe_path(_entry_name(info), name, advice)
            if not path.parts or info.is_dir() or not counts(path):
                continue
            _check_kind(info, path, name, advice)
            if str(path).casefold() in taken:
                raise UserError(f"{name} holds {path} twice. {advice}")
            taken.add(str(path).casefold())
            entries[path] = info
        if sum(info.file_size for info in entries.values()) > limits.unpacked:
            raise _too_large(name, limits, advice)
        yield UntrustedZip(name, advice, limits, archive, entries)


def extract_zip(
    source: Path | IO[bytes], target: Path, limits: Limits, name: str = "the zip"
) -> None:
    """Extracts the images of a zip from anyone into a new folder, or leaves nothing behind.

    Files that systems add by themselves are left out; a single folder around everything is
    taken away.

    Args:
        source: the zip, as a path or an open file.
        target: the new folder; it must not exist.
        limits: how much it may hold.
        name: what to call it in messages.

    Raises:
        UserError: as `untrusted_zip` does.
    """
    with (
        new_folder(target) as folder,
        untrusted_zip(source, name, IMAGES_ADVICE, limits, _is_content) as archive,
    ):
        left = limits.unpacked
        for path in archive.entries:
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            left -= archive.extract(path, file, left)[0]
        if not archive.entries:
            raise UserError(f"{name} holds no file. Expected a folder of images for each class.")
        _without_wrapper(folder)


def _check_kind(info: zipfile.ZipInfo, path: PurePosixPath, name: str, advice: str) -> None:
    """Raises UserError for anything but a plain file that is packed in a usual way."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise UserError(f"{name}: {path} is {what}. {advice}")
    if info.flag_bits & _ENCRYPTED_FLAG:
        raise UserError(f"{name} is encrypted. Make one without a password.")
    if info.compress_type not in _COMPRESSIONS:
        raise UserError(f"{name}: {path} is packed in an unusual way. {advice}")


def _too_large(name: str, limits: Limits, advice: str) -> UserError:
    return UserError(
        f"{name} holds more than {limits.unpacked / 2**30:g} GB when unpacked. {advice}"
    )


def extract_trusted(archive: Path, target: Path) -> None:
    """Extracts a zip or tar whose checksum is known into a new folder, or leaves nothing.

    Even so no path may lead out of the folder.

    Raises:
        UserError: for a file that is damaged or unsafe, or a disk that is full.
    """
    with new_folder(target) as folder, _words(archive.name, "Get it again."):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for entry in packed.infolist():
                    if _is_content(_safe_path(_entry_name(entry), archive.name, "Do not use it.")):
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
def _words(name: str, advice: str) -> Iterator[None]:
    """Turns what reading an archive raises into words."""
    try:
        yield
    except tarfile.FilterError as error:
        raise UserError(f"{name} is not safe to extract: {error}. Do not use it.") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(
            f"{name} is no archive that can be read, or damaged ({error}). {advice}"
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


def _safe_path(text: str, name: str, advice: str) -> PurePosixPath:
    """Returns the path of an entry inside the folder.

    Raises:
        UserError: for one that leads out.
    """
    path = PurePosixPath(text.replace("\\", "/"))
    drive = len(path.parts[:1]) and path.parts[0][1:2] == ":"
    if path.is_absolute() or drive or ".." in path.parts or "\0" in text:
        raise UserError(f"{name} is not safe: {text!r} leads out of its folder. {advice}")
    return path


def _is_content(path: PurePosixPath) -> bool:
    """Returns whether a path is no hidden file, and none that systems add by themselves."""
    hidden = any(part.startswith(".") or part in _IGNORED for part in path.parts)
    return bool(path.parts) and not hidden


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

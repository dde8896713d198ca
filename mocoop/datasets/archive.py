"""Zips and tars of images: extracted once into the cache, then read like a folder."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from filelock import FileLock

from mocoop.datasets.base import file_stamp
from mocoop.datasets.folder import FolderDataset
from mocoop.datasets.packed import Packed, edits_beside
from mocoop.datasets.path import load_directory
from mocoop.errors import PathError, UserError
from mocoop.storage.archives import Limits
from mocoop.storage.image_archives import archive_suffix, extract_images
from mocoop.storage.unpacked import InUse, describe, make_room, most_bytes, unpacked_root
from mocoop.storage.zip_names import VARIABLE

_MOST_FILES = 2_000_000
_LEAST, _TIMES = 2 * 2**30, 20  # an archive may unpack to 2 GB, or to 20 times its own size


def load_archive(path: Path) -> FolderDataset:
    """Returns the data set in a zip or tar of images, with any layout that a folder can have.

    It is extracted into the cache, and again if it changes. The user's changes are in a folder
    beside it, `NAME.zip.mocoop`, which stays when the archive or the cache changes.

    Raises:
        UserError: for an archive that is unsafe, damaged or too large, or holds no data set.
    """
    stamp = f"{file_stamp(path).text}|{os.environ.get(VARIABLE, '')}"
    key = hashlib.sha256(stamp.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    name = archive_name(path)
    plain = re.sub(r"[^\w-]+", "-", name)[:60]
    folder = unpacked_root() / f"{plain}-{key}"
    limits = Limits(_MOST_FILES, max(_LEAST, _TIMES * path.stat().st_size))
    in_use = _unpacked(path, folder, limits)
    try:
        dataset = load_extracted(folder, name, edits_beside(path))
    except PathError as error:
        inside = (
            error.path.relative_to(folder) if error.path.is_relative_to(folder) else error.path
        )
        raise UserError(error.with_name(str(path / inside))) from error
    return replace(dataset, path=path.absolute(), in_use=in_use)


def load_extracted(folder: Path, name: str = "", edits: Path | None = None) -> FolderDataset:
    """Returns the data set in a folder that was extracted from an untrusted archive.

    Args:
        folder: the folder.
        name: name of the set; the folder's name by default.
        edits: folder of the user's changes; the folder itself by default.

    Raises:
        UserError: if it holds no data set, or a list in it names images that are outside of it.
    """
    files = sum(len(names) for _, _, names in os.walk(folder))
    dataset = load_directory(folder, name, Packed(files, edits))
    for part in dataset.splits.values():
        for item in part:
            path = PurePosixPath(item.id)
            if path.is_absolute() or ".." in path.parts or path.parts[0][1:2] == ":":
                raise UserError(
                    f"A list in {dataset.name} names {item.id}, which is not in the archive. "
                    "Lists in archives need paths inside of it."
                )
    return dataset


def _unpacked(path: Path, folder: Path, limits: Limits) -> InUse:
    """Returns the mark that an archive's unpacked folder is in use; unpacks it if it is missing.

    Raises:
        UserError: for an archive that is unsafe, damaged or too large, or if nothing can be
            written to the cache.
    """
    most = most_bytes()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        in_use = InUse(folder)  # from now on no process removes it
        if not folder.is_dir():
            try:
                with FileLock(f"{folder}.lock"):  # another process may want the same archive
                    if not folder.is_dir():
                        extract_images(path, folder, limits, path.name)
                        describe(folder, path)
            except UserError:
                in_use.forget()
                raise
            make_room(folder.parent, most, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be extracted to {folder.parent}: {error.strerror or error}. Make "
            "it writable, or set MOCOOP_CACHE to another folder."
        ) from error
    return in_use


def archive_name(path: Path) -> str:
    """Returns an archive's name without its ending."""
    suffix = archive_suffix(path.name)
    return path.name[: -len(suffix)] if suffix else path.stem

"""Zips and tars that users upload, stored as data sets below the data root."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from mocoop.datasets.archive import archive_name, load_extracted
from mocoop.datasets.benchmarks import data_root
from mocoop.datasets.folder import FolderDataset
from mocoop.errors import PathError, UserError
from mocoop.storage.archives import Limits, new_folder
from mocoop.storage.image_archives import extract_images

UPLOADS = "uploads"  # folder below the data root
LIMITS = Limits()


def uploaded_sets(root: Path | None = None) -> list[Path]:
    """Returns the folders of uploaded sets, sorted."""
    folder = (root or data_root()) / UPLOADS
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def keep_upload(
    source: IO[bytes],
    file_name: str,
    root: Path | None = None,
    limits: Limits = LIMITS,
    encoding: str = "",
) -> FolderDataset:
    """Stores an uploaded zip or tar and returns its data set, which `uploaded_sets` lists.

    Args:
        source: the archive.
        file_name: name of the uploaded file. The set gets this name, with a number if it is
            already in use.
        root: the data root; `data_root()` if None.
        limits: how much the archive may contain.
        encoding: encoding of a zip's names that are not UTF-8; by default it is detected.

    Raises:
        UserError: for an archive that is unsafe, damaged or too large, or holds no data set;
            nothing of it is kept.
    """
    target = _free_folder((root or data_root()) / UPLOADS, file_name)
    with new_folder(target) as folder:  # it is checked before it gets its name
        content = folder / ".content"  # a name that nothing in an archive has
        extract_images(source, content, limits, _base_name(file_name), encoding)
        try:
            load_extracted(content, target.name)
        except UserError as error:
            raise UserError(_without_folder(error, content, _base_name(file_name))) from error
        for path in content.iterdir():
            path.rename(folder / path.name)
        content.rmdir()
    return load_extracted(target)


def _without_folder(error: UserError, folder: Path, name: str) -> str:
    """Returns an error's message with paths inside an archive, and not those on the server."""
    text = str(error)
    if isinstance(error, PathError):
        inside = error.path != folder and error.path.is_relative_to(folder)
        text = error.with_name(str(error.path.relative_to(folder)) if inside else name)
    return text.replace(f"{folder}/", "").replace(str(folder), name)


def _free_folder(folder: Path, file_name: str) -> Path:
    """Returns the path of a folder that does not exist yet, named after a file."""
    stem = (
        re.sub(r"[^\w-]+", "-", archive_name(Path(_base_name(file_name)))).strip("-_")[:60]
        or "images"
    )
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 10_000))
    return next(path for path in map(folder.joinpath, names) if not path.exists())


def _base_name(file_name: str) -> str:
    """Returns an uploaded file's name without folders."""
    return file_name.replace("\\", "/").rsplit("/", 1)[-1] or "the zip"

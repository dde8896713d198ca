"""Zips that users upload, stored as data sets below the data root."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import IO

from mocoop.datasets.benchmarks import data_root
from mocoop.datasets.folder import FolderDataset, load_folder
from mocoop.errors import PathError, UserError
from mocoop.storage.archives import Limits, extract_zip

UPLOADS = "uploads"  # folder below the data root
LIMITS = Limits()


def uploaded_sets(root: Path | None = None) -> list[Path]:
    """Returns the folders of uploaded sets, sorted."""
    folder = (root or data_root()) / UPLOADS
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def keep_upload(
    source: IO[bytes], file_name: str, root: Path | None = None, limits: Limits = LIMITS
) -> FolderDataset:
    """Stores an uploaded zip as a data set, which `uploaded_sets` then lists, and returns it.

    Args:
        source: the zip.
        file_name: name of the uploaded file. The set gets this name, with a number if it is
            already in use.
        root: the data root; `data_root()` if None.
        limits: how much the zip may contain.

    Raises:
        UserError: for a zip that is unsafe, damaged or too large, or has no class folders;
            nothing of it is kept.
    """
    target = _free_folder((root or data_root()) / UPLOADS, file_name)
    extract_zip(source, target, limits, _base_name(file_name))
    try:
        return load_folder(target)
    except UserError as error:
        shutil.rmtree(target, ignore_errors=True)
        if not isinstance(error, PathError):
            raise
        inside = error.path != target and error.path.is_relative_to(target)
        name = str(error.path.relative_to(target)) if inside else _base_name(file_name)
        raise UserError(error.with_name(name)) from error


def _free_folder(folder: Path, file_name: str) -> Path:
    """Returns the path of a folder that does not exist yet, named after a file."""
    stem = re.sub(r"[^\w-]+", "-", Path(_base_name(file_name)).stem).strip("-_")[:60] or "images"
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 10_000))
    return next(path for path in map(folder.joinpath, names) if not path.exists())


def _base_name(file_name: str) -> str:
    """Returns an uploaded file's name without folders."""
    return file_name.replace("\\", "/").rsplit("/", 1)[-1] or "the zip"

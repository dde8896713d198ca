"""Lists the image files of class folders: links are followed once, hidden files left out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mocoop.datasets.names import check_unicode
from mocoop.errors import UserError
from mocoop.storage.images import SUFFIXES


def only_images(files: Iterable[str]) -> list[str]:
    """Returns the names of image files that are not hidden, sorted."""
    return sorted(f for f in files if f.lower().endswith(SUFFIXES) and f[0] != ".")


def subfolders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, links to folders included, sorted; no hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path) for entry in entries if entry.name[0] != "." and entry.is_dir()
        )


def image_files(folder: Path) -> list[Path]:
    """Returns all image files below a folder, sorted.

    Raises:
        UserError: for links that lead in a circle, or a name that is not UTF-8.
    """
    found: list[Path] = []
    above: dict[str, set[tuple[int, int]]] = {str(folder): set()}
    for place, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(place)
        identity = (status.st_dev, status.st_ino)
        passed = above.pop(place)
        if identity in passed:
            raise UserError(
                f"{place} is a link that leads back to a folder above it, so that its images have "
                "no end. Remove the link."
            )
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in folders:
            above[os.path.join(place, name)] = passed | {identity}
        for name in only_images(files):
            check_unicode(name)
            found.append(Path(place, name))
    return sorted(found)


def class_files(folder: Path) -> dict[str, list[Path]]:
    """Returns class folder name → its image files, both sorted.

    Raises:
        UserError: for a folder without class folders, or a class without an image.
    """
    found: dict[str, list[Path]] = {}
    for child in subfolders(folder):
        check_unicode(child.name)
        files = image_files(child)
        if not files:
            raise UserError(
                f"Class folder {child} holds no image. Expected files such as .jpg or .png: add "
                "some or remove the folder."
            )
        found[child.name] = files
    if not found:
        raise UserError(
            f"{folder} holds no class folder. Expected one folder per class, each with images: "
            "class_name/*.jpg."
        )
    return found

"""Class folders: the image files in them, and the class names made from folder names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from mocoop.errors import PathError, UserError
from mocoop.storage.images import SUFFIXES

# "001.Black_footed_Albatross": the number sorts the folders and is not part of the name.
_NUMBER = re.compile(r"^(\d+\.|0\d*[._-])[\s._-]*(?=\D)")
# "GoldenRetriever" and "USBCable" are two words; "McDonald" and "iPhone" are one.
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")


def only_images(files: Iterable[str]) -> list[str]:
    """Returns the names of the image files, sorted; hidden files are left out."""
    return sorted(f for f in files if f.lower().endswith(SUFFIXES) and f[0] != ".")


def subfolders(folder: Path) -> list[Path]:
    """Returns the subfolders of a folder, sorted, with links to folders, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path) for entry in entries if entry.name[0] != "." and entry.is_dir()
        )


def image_files(folder: Path) -> list[Path]:
    """Returns all image files below a folder, sorted.

    Raises:
        UserError: for a link to a parent folder, or a name that is not UTF-8.
    """
    images: list[Path] = []
    # Path of a folder → (device, inode) of all folders above it.
    parents: dict[str, set[tuple[int, int]]] = {str(folder): set()}
    for path, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(path)
        identity = (status.st_dev, status.st_ino)
        above = parents.pop(path)
        if identity in above:
            raise PathError(
                Path(path),
                " is a link to a folder above it, so its list of images would never end. "
                "Remove the link.",
            )
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in folders:
            parents[os.path.join(path, name)] = above | {identity}
        for name in only_images(files):
            check_unicode(name)
            images.append(Path(path, name))
    return sorted(images)


def class_files(folder: Path) -> dict[str, list[Path]]:
    """Returns class folder name → its image files, both sorted.

    Raises:
        UserError: for a folder without class folders, or a class without an image.
    """
    by_class: dict[str, list[Path]] = {}
    for child in subfolders(folder):
        check_unicode(child.name)
        files = image_files(child)
        if not files:
            raise PathError(
                child,
                " has no image. Expected files such as .jpg or .png: add some or remove the "
                "folder.",
                "Class folder",
            )
        by_class[child.name] = files
    if not by_class:
        raise PathError(
            folder,
            " has no class folder. Expected one folder per class, each with images: "
            "class_name/*.jpg.",
        )
    return by_class


def tidy(label: str) -> str:
    """Returns a label as words: `001.GoldenRetriever` and `golden_retriever` become the same.

    It removes numbers that only sort the folders, turns underscores into spaces, and splits
    words in camel case into lower-case words (acronyms stay). Other letters do not change.

    Raises:
        UserError: for a label that is not UTF-8, or has no letter and no digit.

    Examples:
        >>> tidy("001.Black_footed_Albatross"), tidy("GoldenRetriever"), tidy("2012_Audi_TTS")
        ('Black footed Albatross', 'golden retriever', '2012 Audi TTS')
    """
    check_unicode(label)
    words = _NUMBER.sub("", label.strip()).replace("_", " ").split()
    tidied = " ".join(map(_without_camel_case, words))
    if not any(character.isalnum() for character in tidied):
        raise UserError(
            f"Class {label!r} has no letter or digit in its name, so no prompt can name it. "
            "Rename it."
        )
    return tidied


def _without_camel_case(word: str) -> str:
    """Returns a camel-case word as lower-case words; any other word unchanged."""
    parts = _CAMEL.split(word)
    if len(parts) == 1:
        return word
    return " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts)


def check_unicode(name: str) -> None:
    """Raises UserError for a file or folder name that is not UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = name.encode("utf-8", "surrogateescape")
        raise UserError(
            f"The name {shown!r} is not written in UTF-8, so it cannot be shown or saved. "
            "Rename the file or folder, for example with convmv -f latin1 -t utf8."
        ) from error

"""Class folders: the image files in them, and the class names made from folder names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mocoop.datasets.names import check_unicode, in_order, nfc
from mocoop.datasets.tree import Folder
from mocoop.errors import PathError, UserError
from mocoop.storage.picture_kinds import SUFFIXES

# "001.Black_footed_Albatross": the number sorts the folders and is not part of the name.
_NUMBER = re.compile(r"^(\d+\.|0\d*[._-])[\s._-]*(?=\D)")
# "GoldenRetriever" and "USBCable" are two words; "McDonald" and "iPhone" are one.
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")


def only_images(files: Iterable[str]) -> list[str]:
    """Returns the names of the image files, sorted; hidden files are left out."""
    return sorted(f for f in files if f.lower().endswith(SUFFIXES) and f[0] != ".")


def class_files(folder: Folder) -> dict[str, list[Path]]:
    """Returns class name → the images in its folder, both in order.

    Folders whose names only differ in how accents are stored are one class.

    Raises:
        UserError: for a folder without class folders, or a class without an image.
    """
    by_name: dict[str, list[Path]] = {}
    for child in folder.folders:
        files = child.images()
        if not files:
            raise PathError(
                child.path,
                f" has no image{_instead(child)}. Expected pictures such as .jpg or .png: add "
                "some or remove the folder.",
                "Class folder",
            )
        by_name.setdefault(nfc(child.name), []).extend(files)
    if not by_name:
        raise PathError(
            folder.path,
            " has no class folder. Expected one folder per class, each with images: "
            "class_name/*.jpg.",
        )
    return {name: sorted(by_name[name]) for name in in_order(by_name)}


def _instead(folder: Folder) -> str:
    """Returns which other files a folder without images holds, in parentheses."""
    others = [name for inner in folder.walk() for name in inner.others]
    if not others:
        return ""
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f" (only {others[0]}{more})"


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
    words = _NUMBER.sub("", nfc(label).strip()).replace("_", " ").split()
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

"""Folder names and labels as words that a prompt can hold."""

from __future__ import annotations

import re

from mocoop.errors import UserError

# "001.Black_footed_Albatross": the number orders the folders and is no part of the name.
_NUMBER = re.compile(r"^(\d+\.|0\d*[._-])[\s._-]*(?=\D)")
# "GoldenRetriever" and "USBCable" are two words; "McDonald" and "iPhone" are one.
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")


def tidy(label: str) -> str:
    """Returns a label as words: `001.GoldenRetriever` and `golden_retriever` become the same.

    Numbers that only order the folders, underscores and camel case go: its words become small,
    but for acronyms. Other letters stay as they are.

    Raises:
        UserError: for a label that is not written in UTF-8 or has no letter or digit in it.

    Examples:
        >>> tidy("001.Black_footed_Albatross"), tidy("GoldenRetriever"), tidy("2012_Audi_TTS")
        ('Black footed Albatross', 'golden retriever', '2012 Audi TTS')
    """
    check_unicode(label)
    words = _NUMBER.sub("", label.strip()).replace("_", " ").split()
    tidied = " ".join(map(_without_camel_case, words))
    if not any(character.isalnum() for character in tidied):
        raise UserError(
            f"Class {label!r} has no letter or digit in its name, so that no prompt can name it. "
            "Rename it."
        )
    return tidied


def _without_camel_case(word: str) -> str:
    """Returns the small words of one in camel case; any other word as it is."""
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
            f"The name {shown!r} is not written in UTF-8, so that it cannot be shown or saved. "
            "Rename the file or folder, for example with convmv -f latin1 -t utf8."
        ) from error

"""How names of classes, files and columns are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from mocoop.errors import UserError


def nfc(text: str) -> str:
    """Returns a text with every accented letter as one character (Unicode NFC).

    macOS writes "é" as two characters, other systems as one. They look the same.
    """
    return unicodedata.normalize("NFC", text)


def name_key(text: str) -> str:
    """Returns the key of a name: names of the same key are the same for a reader.

    Case, underscores, repeated spaces and the way in which accents are stored do not matter.

    >>> name_key("Black_cat") == name_key(" black  cat")
    True
    """
    return " ".join(nfc(nfc(text).casefold()).replace("_", " ").split())


def in_order(labels: Iterable[str]) -> list[str]:
    """Returns the different labels in their order: numbers by value, other labels as text.

    >>> in_order(["10", "2", "1"]), in_order(["b", "10", "2"])
    (['1', '2', '10'], ['10', '2', 'b'])
    """
    different = set(labels)
    if all(label.isascii() and label.isdecimal() for label in different):
        return sorted(different, key=lambda label: (int(label), label))
    return sorted(different)


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

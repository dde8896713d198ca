"""The names in zips that do not say how they are stored: finds the encoding, or is told it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mocoop.errors import choose_from

UTF8_FLAG = 0x800
ENCODINGS = ("cp932", "gbk", "big5", "euc_kr", "cp437", "cp1252", "cp866", "cp1251")
"""The encodings that programs write on Japanese, Chinese, Korean, Western and Russian systems."""
VARIABLE = "MOCOOP_ZIP_NAMES"
_SHOWN = 3  # names that stand for all


@dataclass(frozen=True)
class ZipNames:
    """How the names of a zip are read."""

    encoding: str = ""
    """The encoding of the names that are not UTF-8; empty if all are UTF-8."""
    given: bool = False
    """Whether the user chose the encoding."""
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Encoding → the first three such names read with it, best encoding first."""

    def read(self, entry: zipfile.ZipInfo) -> str:
        """Returns the name of an entry."""
        raw = raw_name(entry)
        if raw is None:
            return entry.filename
        return raw.decode(self.encoding or "utf-8", "replace")

    def in_words(self) -> str:
        """Returns a sentence for people; empty if there is no doubt."""
        if not self.encoding:
            return ""
        shown = ", ".join(self.examples.get(self.encoding, ()))
        if self.given:
            return f"the names in the zip are read as {self.encoding}: {shown}"
        others = ", ".join(
            f"{name} ({', '.join(names)})"
            for name, names in self.examples.items()
            if name != self.encoding
        )
        sentence = (
            f"warning: the zip does not say how its names are stored; read as {self.encoding}: "
            f"{shown}. If that is wrong, set {VARIABLE} to another encoding"
        )
        return f"{sentence}, such as {others}" if others else sentence


def raw_name(entry: zipfile.ZipInfo) -> bytes | None:
    """Returns the bytes of an entry's name; None if the zip says that it is UTF-8.

    It may say so by a second name in UTF-8, which Python 3.13 takes instead of the first.
    """
    first = entry.orig_filename.partition("\0")[0].replace(os.sep, "/")
    is_told = entry.flag_bits & UTF8_FLAG or entry.filename != first
    return None if is_told else first.encode("cp437")


def zip_names(entries: Iterable[zipfile.ZipInfo], encoding: str = "") -> ZipNames:
    """Returns how the names of a zip's entries are to be read.

    Many programs write UTF-8 without saying so: names that are all valid UTF-8 are read as such.
    Otherwise the encoding is detected from all of them together.

    Args:
        entries: the entries of the zip.
        encoding: the user's choice; by default that of MOCOOP_ZIP_NAMES, if it is set.

    Raises:
        UserError: for an encoding that is not one of ENCODINGS.
    """
    chosen = encoding or os.environ.get(VARIABLE, "")
    if chosen and chosen.lower() not in ENCODINGS:
        raise choose_from("encoding of the names in a zip", chosen, ENCODINGS)
    doubtful = [raw for raw in map(raw_name, entries) if raw and not raw.isascii()]
    if all(map(_is_utf8, doubtful)):  # a single name may be valid UTF-8 by chance
        return ZipNames()
    fitting = _fitting(doubtful)
    best = chosen.lower() or fitting[0]
    order = dict.fromkeys((best, *fitting))
    shown = doubtful[:: max(1, len(doubtful) // _SHOWN)][:_SHOWN]
    examples = {name: tuple(raw.decode(name, "replace") for raw in shown) for name in order}
    return ZipNames(best, bool(chosen), dict(list(examples.items())[:3]))


def _fitting(names: Sequence[bytes]) -> list[str]:
    """Returns the encodings that the names can have, the most likely one first."""
    from charset_normalizer import from_bytes  # needed for such names only

    # Short texts are judged by their repetition; the parts of a path are words of their own.
    text = b"\n".join(dict.fromkeys(name.replace(b"/", b"\n") for name in names))
    found = from_bytes(text * 3, cp_isolation=list(ENCODINGS))
    likely = [match.encoding for match in found if match.encoding in ENCODINGS]
    # cp437 is what zips are defined to use.
    possible = [name for name in ("cp437", *ENCODINGS) if _letters(names, name) is not None]
    ranked = dict.fromkeys([*likely, *possible, "cp437"])
    return sorted(ranked, key=lambda name: not _letters(names, name))


def _letters(names: Sequence[bytes], encoding: str) -> bool | None:
    """Returns whether all special characters of the names are letters; None if not decodable."""
    try:
        text = "".join(name.decode(encoding) for name in names)
    except UnicodeDecodeError:
        return None
    if not text.isprintable():
        return None
    return all(letter.isalnum() for letter in text if not letter.isascii())


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

"""What is read differently in a folder that was unpacked from an untrusted archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mocoop.storage.archives import OWN_SUFFIX


@dataclass(frozen=True)
class Packed:
    """An unpacked archive's limits, and where the user's changes to it are kept."""

    most_rows: int
    """How many images a table may list: the number of files."""
    edits: Path | None = None
    """Folder of the user's changes; None if they are in the unpacked folder itself."""


def edits_beside(archive: Path) -> Path:
    """Returns the folder of the user's changes to an archive: `pets.zip.mocoop` beside it.

    The unpacked folder is no place for them: it is in the cache, and is another one as soon as
    the archive changes.
    """
    return archive.absolute().with_name(archive.name + OWN_SUFFIX)

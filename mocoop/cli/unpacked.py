"""The command `mocoop data unpacked`: lists and removes archives that were unpacked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mocoop.cli.console import counted, print_json, size_text

if TYPE_CHECKING:
    from mocoop.storage.unpacked import UnpackedArchive


@dataclass(frozen=True)
class UnpackedData:
    """List the zips and tars that were unpacked into the cache, or remove them with --clear.

    Archives that are in use are kept. Your own changes to an archive (class names, templates,
    skipped images) are beside it and are not removed.
    """

    clear: bool = False
    """Remove all of them that are not in use."""
    json: bool = False
    """Print one JSON document."""


def show_unpacked(command: UnpackedData) -> None:
    """Prints or removes the unpacked archives.

    Raises:
        UserError: if MOCOOP_UNPACKED_GB is no number.
    """
    from mocoop.storage.unpacked import clear, most_bytes, unpacked_archives, unpacked_root

    limit = most_bytes()
    removed = clear() if command.clear else []
    left = unpacked_archives()
    if command.json:
        kinds = {"removed": removed, "archives": left}
        values = {name: [_as_values(one) for one in some] for name, some in kinds.items()}
        print_json({"folder": str(unpacked_root()), "most_bytes": limit} | values)
        return
    if command.clear:
        print(f"removed: {_total(removed)}")
    for one in left:
        state = "in use" if one.in_use else time.strftime("%Y-%m-%d", time.localtime(one.used))
        print(f"{size_text(one.size):>12}  {state:<10}  {one.archive or one.folder}")
    print(f"{unpacked_root()}: {_total(left)}; at most {limit / 1e9:g} GB are kept")


def _as_values(one: UnpackedArchive) -> dict[str, object]:
    return asdict(one) | {"folder": str(one.folder)}


def _total(some: Sequence[UnpackedArchive]) -> str:
    """Returns the number of archives and their size in words."""
    return f"{counted(len(some), 'archive')}, {size_text(sum(one.size for one in some))}"

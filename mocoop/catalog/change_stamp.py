"""What changes when a data set is changed on disk, without listing its images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mocoop.datasets.benchmarks import BENCHMARKS, TABLE, data_root
from mocoop.datasets.builtin import BUILTIN
from mocoop.datasets.class_folders import subfolders
from mocoop.datasets.edits import EDITS_FILE, SKIP_FILE

_FEW_FOLDERS = 12  # more folders than this are classes, not splits or domains


def data_stamp(name: str, root: Path | None = None) -> str:
    """Returns a text that changes when images are added or removed, or lists and names change.

    Class folders, lists and the files of changes are looked at; images that are overwritten are
    told apart by their content when their features are asked for.

    Args:
        name: as for `load_dataset`.
        root: where benchmark sets are; `data_root()` if None.
    """
    if name in BUILTIN:
        return "built in"
    if name in BENCHMARKS:
        row, place = TABLE[name], root or data_root()
        parts = [place / row.folder, place / row.images]
        parts += [place / row.split] if row.split else []
    else:
        parts = [Path(name).expanduser()]
    return "|".join(f"{path}:{_time(path)}" for part in parts for path in _looked_at(part))


def _looked_at(part: Path) -> Iterator[Path]:
    """Yields the files and folders whose times tell of a change."""
    folder = part if part.is_dir() else part.parent
    yield part
    yield from (folder / EDITS_FILE, folder / SKIP_FILE)
    if not part.is_dir():
        return
    inside = subfolders(part)
    yield from inside
    if len(inside) <= _FEW_FOLDERS:
        for child in inside:
            yield from subfolders(child)


def _time(path: Path) -> int:
    """Returns when a path was last changed; 0 if there is nothing."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

"""A stamp that changes when a data set changes on disk, made without listing its images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mocoop.datasets.benchmarks import BENCHMARKS, TABLE, data_root
from mocoop.datasets.builtin import is_builtin
from mocoop.datasets.edits import OWN_FILES
from mocoop.datasets.packed import edits_beside
from mocoop.datasets.tree import subfolders
from mocoop.storage.image_archives import archive_suffix
from mocoop.user_paths import user_path

_FEW_FOLDERS = 12  # more subfolders than this must be classes, not splits or domains


def data_stamp(name: str, root: Path | None = None) -> str:
    """Returns a string that changes when images are added or removed, or lists or names change.

    It looks at class folders, lists, `mocoop.yaml` and the list of images to skip. It does not
    notice overwritten images; the feature cache does, by their content.

    Args:
        name: a name or path, as for `load_dataset`.
        root: folder of the benchmark sets; `data_root()` if None.
    """
    if is_builtin(name):
        return "built in"
    if name in BENCHMARKS:
        benchmark, folder = TABLE[name], root or data_root()
        paths = [folder / benchmark.folder, folder / benchmark.images]
        paths += [folder / benchmark.split] if benchmark.split else []
    else:
        paths = [user_path(name)]
    return "|".join(f"{seen}:{_time(seen)}" for path in paths for seen in _watched(path))


def _watched(path: Path) -> Iterator[Path]:
    """Yields the files and folders whose times change with the data set."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() and archive_suffix(path.name):
        folder = edits_beside(path)
    yield path
    yield from (folder / name for name in OWN_FILES)
    if not path.is_dir():
        return
    children = subfolders(path)
    yield from children
    if len(children) <= _FEW_FOLDERS:
        for child in children:
            yield from subfolders(child)


def _time(path: Path) -> int:
    """Returns when a path was last changed, in nanoseconds; 0 if it does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

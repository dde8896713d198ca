"""Where files are kept that can be made again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mocoop.user_paths import folder_setting


def default_cache() -> Path:
    """Returns the cache folder: MOCOOP_CACHE, or ~/.cache/mocoop."""
    return folder_setting("MOCOOP_CACHE", Path.home() / ".cache" / "mocoop")


def kept_for(run: Path) -> Path:
    """Returns where the cache keeps what only one run can use; it is deleted with the run.

    Args:
        run: the run's folder.
    """
    key = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
    return default_cache() / "of-runs" / key

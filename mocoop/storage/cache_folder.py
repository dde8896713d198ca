"""Where files are kept that can be made again."""

from __future__ import annotations

from pathlib import Path

from mocoop.user_paths import folder_setting


def default_cache() -> Path:
    """Returns the cache folder: MOCOOP_CACHE, or ~/.cache/mocoop."""
    return folder_setting("MOCOOP_CACHE", Path.home() / ".cache" / "mocoop")

"""Where files are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from mocoop.user_paths import user_path


def default_cache() -> Path:
    """Returns the cache folder: MOCOOP_CACHE, or ~/.cache/mocoop."""
    chosen = os.environ.get("MOCOOP_CACHE")
    return user_path(chosen) if chosen else Path.home() / ".cache" / "mocoop"

"""Imports modules that take long, once and quickly."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module


def import_slow(names: Sequence[str]) -> None:
    """Imports modules if they are not imported yet.

    Modules such as torch create hundreds of thousands of objects that are never freed. The
    garbage collector is off during the import, where it would take a fifth of the time.
    Afterwards the objects are frozen, because every later full collection would take 0.2 s to
    look through them.
    """
    if all(name in sys.modules for name in names):
        return
    gc.disable()
    try:
        for name in names:
            import_module(name)
        gc.freeze()
    finally:
        gc.enable()

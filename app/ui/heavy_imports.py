"""Imports what every page needs and what takes seconds, in one go."""

import gc
import sys
from importlib import import_module

SLOW = ("torch", "open_clip")


def import_slow_modules() -> None:
    """Imports them, unless they are there.

    Hundreds of thousands of objects come with them and stay for good: looking for garbage among
    them, over and over while they are made, would take a fifth of the time, and 0.2 s whenever it
    is done later.
    """
    if all(name in sys.modules for name in SLOW):
        return
    gc.disable()
    try:
        for name in SLOW:
            import_module(name)
        gc.freeze()
    finally:
        gc.enable()

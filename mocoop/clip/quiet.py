"""Hides the log messages of open_clip, which tell of every step of making a model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Hides messages to the root logger, as open_clip's are; those of other threads stay."""
    logger, here = logging.getLogger(), threading.get_ident()
    hide = lambda record: record.thread != here
    logger.addFilter(hide)
    try:
        yield
    finally:
        logger.removeFilter(hide)

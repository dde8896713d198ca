"""How far a training is: a share for the progress bar, and a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.common.methods import has_epochs
from app.common.words import duration
from app.jobs import estimates
from app.train import panel_words as words
from mocoop.config import TrainConfig
from mocoop.runs.status import QUEUED, Status

BEFORE_THE_END = 0.95  # of the bar; the test images are still encoded after the last epoch


def progress_of(
    status: Status, records: Sequence[Mapping[str, Any]], config: TrainConfig | None
) -> tuple[float, str]:
    """Returns how much of a training is done, 0 to 1, and in words.

    Args:
        status: of the active run.
        records: of its epochs so far.
        config: its settings; None if they cannot be read yet. Then the epochs count.
    """
    if status.state == QUEUED:
        return 0.0, words.LOADING_CLIP
    if not status.epochs or (config is not None and not has_epochs(config)):
        return 0.0, words.progress(status.message)
    done = min(status.epoch / status.epochs, BEFORE_THE_END)
    text = words.epoch(status.epoch, status.epochs)
    if status.message != "training":
        return done, words.doing(text, status.message)
    left = estimates.seconds_left(status, list(records))
    return done, text if left is None else words.time_left(text, duration(left))

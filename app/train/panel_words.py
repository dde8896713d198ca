"""The texts of the Train page's panel: a training in progress, its results, earlier runs."""

from __future__ import annotations

TITLE = "Train"
PROGRESS, TEMPLATES = "Progress", "Templates"  # the tabs
NO_RUN = "There is no run here yet."
NOTHING_YET = "No training yet"
HOW_TO_START = (
    "Press **Start training**. The curves appear here while the method learns. The expected time "
    "is beside the button. You can leave the page, reload it or close the browser in the meantime."
)
STATES = {
    "starting": "starting",
    "queued": "waiting",
    "running": "training",
    "finished": "finished",
    "cancelled": "cancelled",
    "failed": "failed",
    "interrupted": "interrupted",
}
"""State of a run → its name on the page."""
CANCEL, REMOVE, STOPPING = "Cancel", "Remove", "Stopping …"
LOADING_CLIP = "Starting: loading CLIP …"
SEE_ROUTING, SEE_PREDICTIONS = "See the routing", "See the predictions"
SEE_PROMPTS = "See the prompt space"
COMPARE = "Compare with other runs"
CHECK_IMAGES = "Check the images"
PRINTED = "What the training printed"
TRAIN_AGAIN = "Train it again"
ACCURACY, LOSSES = "Accuracy", "Losses"
EXPERTS_USED, UNCERTAINTY = "Which experts are used", "How uncertain the router is"
EARLIER = "**Earlier runs**"
OPEN_HELP = "Opens this run on the Routing page."
CONTINUE_HELP = "Continues from the last saved state. The result is the same as without the stop."


def progress(message: str) -> str:
    """Returns what a training without epochs does now."""
    return f"{message.capitalize()} …"


def epoch(number: int, epochs: int) -> str:
    """Returns the epoch of a training."""
    return f"Epoch {number} of {epochs}"


def in_progress(text: str, waiting: int) -> str:
    """Returns the line below the start button: what the training does, and how many wait."""
    queue = f" · {waiting} more in the queue" if waiting else ""
    full_stop = "" if f"{text}{queue}".endswith("…") else "."
    return f"{text}{queue}{full_stop} Details: tab *{PROGRESS}*."


def it_ended(how: str) -> str:
    """Returns the line below the start button after the training has ended."""
    return f"{how.capitalize()}. Details: tab *{PROGRESS}*."


def doing(text: str, message: str) -> str:
    """Returns the epoch with what is done besides training."""
    return f"{text}: {message} …"


def time_left(text: str, left: str) -> str:
    """Returns the epoch with the time that is left."""
    return f"{text} · {left} left"


def nothing_learned(method: str) -> str:
    """Returns that a method has no curves because it learns nothing."""
    return f"{method} learned nothing here, so there are no curves: this is CLIP unchanged."


def one_step(method: str) -> str:
    """Returns that a method has no curves because it is fitted in one step."""
    return f"{method} is fitted in one step, so there are no curves."


def validation_accuracy(accuracy: float) -> str:
    """Returns the validation accuracy."""
    return f"Validation accuracy: {accuracy:.1f} %."


def trained_only(method: str) -> str:
    """Returns that a method cannot be tested on the new classes."""
    return (
        f"{method} cannot be tested on the new classes: it cannot predict a class without "
        "training images."
    )


def cancelled(epoch: int | None) -> str:
    """Returns that a training was cancelled, and after which epoch, if it has epochs."""
    return "Cancelled." if epoch is None else f"Cancelled after epoch {epoch}."


def stopped(message: str) -> str:
    """Returns why a training stopped."""
    return f"Stopped: {message}"


def by_epoch(title: str) -> str:
    """Returns what a curve shows, for screen readers."""
    return f"{title}, by epoch"


def continue_after(epoch: int) -> str:
    """Returns the label of the button that continues a training."""
    return f"Continue after epoch {epoch}"

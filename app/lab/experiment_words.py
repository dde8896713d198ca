"""The texts of the Overfitting lab's experiment: its sliders, numbers and trainings."""

from __future__ import annotations

from collections.abc import Sequence

from app.common.words import escape_markdown
from mocoop.protocols.lab import LabSettings
from mocoop.protocols.lab_grid import Axes

TITLE = "Overfitting lab"
CAPTION = (
    "CoOp, LASP and MoCoOp learn from the same few images of one half of the classes. What "
    "happens to the accuracy on the other half?"
)
ONLY_FOR_LOOKING = (
    "The test accuracies after each epoch are shown **for illustration only**. They were not used "
    "to choose anything. A method is judged after its last epoch, and settings are chosen on "
    "validation images of the classes that it was trained on."
)

# While something is computed.
OPENING, TESTING = "Opening the lab's trainings …", "Testing the training after every epoch …"

# The sliders.
DATA_SET, SHOTS, WEIGHT = "Data set", "Images per class", "Weight of the text loss"
SEED, LENGTH = "Seed", "Longest training"
LENGTH_HELP = (
    "Number of epochs. The learning rate is constant, so the first 20 epochs of a long training "
    "equal a training of 20 epochs."
)

# The animation.
PAUSE, PLAY, STEP, TO_THE_START = "Pause", "Play", "Step", "To the start"
EPOCHS, EPOCHS_HELP = "Epochs trained", "Arrow keys move it by one epoch."

# The numbers.
DRIFT_OF_LASP = (
    "LASP is compared with the mean of all hard prompts, not with the prompt that it starts from, "
    "so its drift is not 0 at the start."
)
DRIFT_WITHIN = (
    "Compare drift only within one method, at different weights of the text loss. One method can "
    "drift farther than another and still do better on the new classes."
)
CALIBRATION = (
    "Expected calibration error: the mean gap between confidence and accuracy. Lower is better."
)
NUMBERS = {
    "train": ("training images", "Accuracy on the training images, measured during training."),
    "base": ("base", "Accuracy on test images of the base classes."),
    "new": ("new", "Accuracy on test images of the new classes, which were not in training."),
    "HM": ("HM", "Harmonic mean of base and new: it is high only if both are high."),
    "error base": ("calibration error, base", CALIBRATION),
    "error new": ("calibration error, new", CALIBRATION),
}
"""Column of the table → its title and what it means."""
DRIFT = "drift, new"
DRIFT_HELP = (
    "How far the learned prompts have moved from their hand-written (hard) prompts: 1 − cosine, "
    f"mean over new classes. 0 means that they did not move. {DRIFT_WITHIN} "
    f"{DRIFT_OF_LASP}"
)
RELIABILITY = "**Does confidence match accuracy?** Below the dashed line, confidence is too high"
DRIFT_AND_ACCURACY = "**Drift and accuracy on new classes**, from the start to this epoch"

OVERFIT_ON_TRAIN = "Press “Overfit me” on Train"

# Missing trainings.
TRAIN_NOW, CANCEL, REMOVE = "Train now", "Cancel", "Remove"
STARTING, WAITING = "starting", "waiting for its turn"
HOW_TRAINED = "How these were trained"


def own_rate(rate: float) -> str:
    """Returns the label of the slider of the learning rate."""
    return f"Learning rate (own: {rate:g})"


def own_rate_help(rate: float) -> str:
    """Returns what the methods' own learning rate is."""
    return (
        f"{rate:g} is the own rate of all three methods. It was chosen on validation images. The "
        "other rates show that the rate alone does not explain what happens."
    )


def weight_help(own_weights: str) -> str:
    """Returns what the weight of the text loss is.

    Args:
        own_weights: each method's own weight in words.
    """
    return (
        "How strongly LASP and MoCoOp are kept close to their hand-written prompts. Their own "
        f"weights, chosen on validation images: {own_weights}. CoOp has no text loss."
    )


def no_seed(typed: str, most: int) -> str:
    """Returns that a typed text is no seed."""
    return f"A seed is a whole number from 0 to {most}; got {escape_markdown(typed[:40])!r}."


def missing(names: str, time: str) -> str:
    """Returns which methods have no training with these settings, and how long one takes."""
    return f"There is no training of **{names}** with these settings yet ({time})."


def ready(axes: Axes) -> str:
    """Returns for which positions of the sliders trainings are ready."""
    shots, seeds = (", ".join(map(str, values)) for values in (axes.shots, axes.seeds))
    weights = ", ".join(f"{value:g}" for value in axes.text_weights)
    return (
        f"Ready at once: {shots} images per class, text weights {weights}, seeds {seeds}, up to "
        f"{axes.epochs} epochs. Anything else is trained here when you ask for it."
    )


def nearest(shown: Sequence[LabSettings]) -> str:
    """Returns whose curves are shown while those of the sliders' positions are missing."""
    one, seeds = shown[0], ", ".join(str(settings.seed) for settings in shown)
    return (
        f"Below are the nearest settings that are ready: {one.shots} images per class, learning "
        f"rate {one.learning_rate:g}, text weight {one.text_weight:g}, seed {seeds}, "
        f"{one.epochs} epochs."
    )


def several_trainings(count: int, time: str) -> str:
    """Returns how many trainings are missing, and how long they take."""
    return f"{count} trainings, {time}"


def ended(method: str, state: str, message: str) -> str:
    """Returns why a training has no result."""
    return f"{method} is {state}: {message}"


def with_seed(method: str, seed: int) -> str:
    """Returns a method with its seed."""
    return f"{method}, seed {seed}"


def not_yet(name: str, first: bool) -> str:
    """Returns that a training has not begun."""
    return f"{name}: {STARTING if first else WAITING} …"


def progress(name: str, epoch: int, epochs: int, left: str) -> str:
    """Returns the epoch of a training and the time that is left, if it is known."""
    return f"{name}: epoch {epoch} of {epochs}{f' · {left} left' if left else ''}"


def recipe(rate: float, own_weights: str, usual_epochs: int) -> str:
    """Returns how the trainings were made, and how that differs from the usual recipes.

    Args:
        rate: the methods' own learning rate.
        own_weights: each method's own weight of the text loss in words.
        usual_epochs: the usual number of epochs.
    """
    return (
        "All methods see the same images of the base half of the classes, drawn by the same seed. "
        f"The learning rate of {rate:g} is the **own rate** of all three: it was chosen on "
        f"validation images, as was the weight of the text loss ({own_weights}). Only two things "
        "differ from the usual recipe: the rate is constant, without warm-up or decay, and "
        f"trainings are longer than the usual {usual_epochs} epochs. So the first epochs of a "
        "long training equal a shorter training. The page shows trainings that come with the "
        "project (`mocoop lab-grid` makes them again). Trainings with other settings are made on "
        "this machine."
    )


def trainings(axes: Axes, count: int) -> str:
    """Returns which trainings come with the project.

    Args:
        axes: the settings of the grid.
        count: number of its trainings.
    """
    shots, seeds = (", ".join(map(str, values)) for values in (axes.shots, axes.seeds))
    rates, weights = (
        ", ".join(f"{value:g}" for value in values)
        for values in (axes.learning_rates, axes.text_weights)
    )
    return (
        f"Trainings in the project: {', '.join(axes.data)}; {shots} images per class; learning "
        f"rates {rates}; text weights {weights}; seeds {seeds}; {axes.epochs} epochs; {count} "
        "trainings."
    )

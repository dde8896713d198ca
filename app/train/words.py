"""The sentences of the Train page about results, seeds and overfitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.common.words import duration
from mocoop.evaluation.over_seeds import SeedMean
from mocoop.evaluation.paired import CLEAR, Interval, PairTest, p_in_words

PARTS = {"all": "Test accuracy", "base": "Trained half", "new": "New half"}
MEASURES = PARTS | {"harmonic_mean": "Harmonic mean"}

WITHIN_NOISE = "within noise of zero-shot"
NOISE_HELP = (
    "So small a difference can come from the choice of the test images alone: it is no evidence "
    "that one of the two is better."
)
NOT_TESTED = (
    "Whether the difference from zero-shot is more than noise is not known: an earlier version "
    "of MoCoOp made this run. Train it again to see it."
)

THREE_SEEDS = "Train three seeds"
THREE_SEEDS_HELP = (
    "Queues three trainings of these settings, with seeds 1, 2 and 3: each draws other training "
    "images. When all are done, the page shows their mean and how much they differ."
)
OVERFIT_ME = "Overfit me"
OVERFIT_HELP = (
    "Fills in settings that overfit: CoOp learns one prompt from a single image per class, at "
    "four times its own learning rate. Then press *Start training*."
)
WATCH_OVERFITTING = (
    "**Watch:** the training accuracy climbs far above the validation accuracy, and in the end "
    "the test accuracy is below zero-shot on both halves: the prompt has learned its few images "
    "by heart."
)
ZERO_SHOT = "zero-shot (validation)"


SEEDS_DONE = "seeds 1 to 3 are there"


def time_needed(seconds: float | None) -> str:
    """Returns the estimated time, to stand beside a button."""
    return "time unknown" if seconds is None else duration(seconds)


def minus(number: str) -> str:
    """Returns a number in text with a real minus sign."""
    return number.replace("-", "−")


def signed(value: float) -> str:
    """Returns a difference with its sign and one digit; never a zero with a minus."""
    return minus(f"{round(value, 1) + 0.0:+.1f}")


def gain(test: PairTest | None, difference: float) -> str:
    """Returns the text below an accuracy: its difference from zero-shot, or that it is noise.

    Its minus is a hyphen: by it Streamlit chooses arrow and colour.

    Args:
        test: the paired test; None if it is not known.
        difference: accuracy minus that of zero-shot, in points.
    """
    if test is not None and not test.clear:
        return WITHIN_NOISE
    return f"{round(difference, 1) + 0.0:+.1f} vs zero-shot"


def interval_of(accuracy: float, interval: Interval, images: int) -> str:
    """Returns an accuracy with its interval and the number of images."""
    return (
        f"{accuracy:.1f} % [{interval.low:.1f}, {interval.high:.1f}] on {images:,} "
        f"{'image' if images == 1 else 'images'}"
    )


def against_zero_shot(test: PairTest, zero_shot: float) -> str:
    """Returns the difference from zero-shot with its interval, p-value and verdict."""
    verdict = "within noise" if not test.clear else "better" if test.difference > 0 else "worse"
    ends = f"{signed(test.interval.low)}, {signed(test.interval.high)}"
    return (
        f"zero-shot {zero_shot:.1f} %, difference {signed(test.difference)} points [{ends}], "
        f"{p_in_words(test.p_value)}: **{verdict}**"
    )


HOW_TESTED = (
    "In brackets: 95 % intervals, Wilson's for an accuracy and the paired bootstrap's for a "
    f"difference. p: McNemar's exact test on the same images; *within noise* means p ≥ {CLEAR:g}."
)


def seeds_in_words(seeds: Sequence[int], means: Mapping[str, SeedMean]) -> str:
    """Returns the mean of every measure over seeds, ± their standard deviation."""
    names = ", ".join(map(str, seeds))
    parts = [
        f"{MEASURES[name].lower()} **{part.mean:.1f} ± {part.std:.1f} %**"
        for name, part in means.items()
    ]
    return (
        f"**Mean over seeds {names}:** {', '.join(parts)}. The ± is the sample standard deviation "
        "(n − 1): how much it matters which training images are drawn."
    )

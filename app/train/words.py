"""The texts of the Train page about results, seeds, overfitting and the CLIPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from app.common.words import duration, signed
from mocoop.clip.hub import HubWeights
from mocoop.clip.known import KnownClip
from mocoop.config import TrainConfig
from mocoop.evaluation.over_seeds import SeedMean
from mocoop.evaluation.paired import CLEAR, Interval, PairTest, p_in_words

PATTERN = "open_clip_*"  # matches the weights, whatever their format
PARTS = {"all": "Test accuracy", "base": "Base classes", "new": "New classes"}
MEASURES = PARTS | {"harmonic_mean": "Harmonic mean"}

TRAINING_TIME = "Training time"
CLIP = "CLIP"
WITHIN_NOISE = "within noise of zero-shot"
NOISE_HELP = (
    "Such a small difference can come from the choice of the test images alone. It is no evidence "
    "that one of the two is better."
)
NOT_TESTED = (
    "Whether the difference from zero-shot is more than noise is not known: an earlier version "
    "of MoCoOp made this run. Train it again to see it."
)

NO_TEST_IMAGES = (
    "This run was not tested, because its data set has no test images. Add images to every class, "
    "or a part test/, and train again."
)

THREE_SEEDS = "Train three seeds"
THREE_SEEDS_HELP = (
    "Queues three trainings of these settings, with seeds 1, 2 and 3: each draws other training "
    "images. When all are done, the page shows their mean and how much they differ."
)
OVERFIT_ME = "Overfit me"
OVERFIT_HELP = (
    "Fills in settings that make a prompt overfit. Nothing starts yet: you press *Start training*."
)
WATCH_OVERFITTING = (
    "**Predict first:** will training and validation accuracy stay close to each other? Will the "
    "prompt beat zero-shot, on base and on new classes? Then press *Start training*."
)
ZERO_SHOT = "zero-shot (validation)"


CLIP_HELP = (
    "`demo` is built in. The others are full CLIPs, which are downloaded once: beside each name "
    "stands whether its weights are on this machine already. You can also type "
    "another open_clip NAME/TAG, NAME/FILE or FILE with local weights, the path of a checkpoint "
    "folder, or hf-hub:OWNER/NAME. With another CLIP than `demo` the defaults are the published "
    "settings."
)
WHICH_CLIP = "Which CLIPs are there?"
CLIPS_IN_WORDS = (
    "`demo` is small and knows only the scenes that this project draws. For photographs choose a "
    "full CLIP. A larger one is usually more accurate, but takes longer."
)
CLIP_COLUMNS = (
    "CLIP", "Trained on", "Parameters", "Image size", "Download", "Licence", "Where it is",
)  # fmt: skip
DEMO_FACTS = ("the project's own scenes", "9 million", "64 × 64", "none", "MIT")
SIZE_HELP = (
    "Download: about the size of the file, with 32 bits for each parameter. Licences are those in "
    "timm's configuration of the same weights; for the others, see the page of the weights."
)
HERE, MISSING = "on this machine", "not on this machine"
DOWNLOAD = "Download"
DOWNLOAD_HELP = (
    "The download goes on if you leave the page. Without this button, the first training with "
    "this CLIP downloads it."
)
DOWNLOAD_CANCELLED = "The download was cancelled. The part that was already here was removed."


def size(number: int) -> str:
    """Returns a number of bytes in words: '605 MB'."""
    return f"{number / 1e6:,.0f} MB" if number < 1e9 else f"{number / 1e9:.2f} GB"


def clip_option(name: str, here: bool | None) -> str:
    """Returns a CLIP's entry in the menu, with where it is, if that is known."""
    return name if here is None else f"{name} · {HERE if here else MISSING}"


def clip_facts(clip: KnownClip, page: str) -> str:
    """Returns the facts of a CLIP in one line of Markdown."""
    licence = f"licence [{clip.licence}]({page})" if clip.licence else f"[licence]({page})"
    return (
        f"{clip.parameters / 1e6:.0f} million parameters · images of {clip.image_size} × "
        f"{clip.image_size} pixels · download about {size(clip.bytes)} · {licence}"
    )


def clip_row(clip: KnownClip, page: str, cached: bool) -> tuple[str, ...]:
    """Returns the row of a CLIP in the table of all."""
    return (
        f"`{clip.name}`",
        clip.data,
        f"{clip.parameters / 1e6:.0f} million",
        f"{clip.image_size} × {clip.image_size}",
        size(clip.bytes),
        f"[{clip.licence or 'see its page'}]({page})",
        f"**{HERE}**" if cached else MISSING,
    )


def download_progress(received: int, total: int) -> str:
    """Returns how much of a file has arrived."""
    if not total:
        return "Waiting for the server …"
    return f"{size(received)} of {size(total)}"


def download_stopped(reason: str) -> str:
    """Returns why a download stopped."""
    return f"The download stopped: {reason.removesuffix('.')}."


def offline(weights: HubWeights) -> str:
    """Returns what to do where the hub cannot be reached."""
    here = str(weights.folder.parent).replace(str(Path.home()), "~", 1)
    return (
        f"**Offline.** Where there is internet, run `hf download {weights.repository} --include "
        f"'{PATTERN}'`. Then copy the folder `{weights.folder.name}` from "
        f"`~/.cache/huggingface/hub` there to `{here}` here."
    )


SEEDS_DONE = "seeds 1 to 3 are trained or in the queue"


TIME_UNKNOWN = "time unknown before a first training with this CLIP here"


def time_needed(seconds: float | None) -> str:
    """Returns the estimated time, to stand beside a button."""
    return TIME_UNKNOWN if seconds is None else duration(seconds)


def zero_shot_reaches(accuracy: float) -> str:
    """Returns the accuracy of zero-shot, and what zero-shot is."""
    return f"Zero-shot (one hand-written prompt, no training) reaches {accuracy:.1f} %."


def gain(test: PairTest | None, difference: float) -> str:
    """Returns the text below an accuracy: its difference from zero-shot, or that it is noise.

    Args:
        test: the paired test; None if it is not known.
        difference: accuracy minus that of zero-shot, in points.
    """
    if test is not None and not test.clear:
        return WITHIN_NOISE
    return f"{signed(difference)} vs zero-shot"


def interval_of(accuracy: float, interval: Interval, images: int) -> str:
    """Returns an accuracy with its interval and the number of images."""
    return (
        f"{accuracy:.1f} % [{interval.low:.1f}, {interval.high:.1f}] on {images:,} "
        f"{'image' if images == 1 else 'images'}"
    )


def verdict(test: PairTest) -> str:
    """Returns how an accuracy compares with zero-shot, as Markdown."""
    if not test.clear:
        return f"**{WITHIN_NOISE}**"
    return "**better than zero-shot**" if test.difference > 0 else "**worse than zero-shot**"


def against_zero_shot(label: str, test: PairTest, zero_shot: float) -> str:
    """Returns how an accuracy compares with zero-shot, in points and with an interval."""
    ends = f"{signed(test.interval.low)} to {signed(test.interval.high)}"
    return (
        f"{label}: {verdict(test)}: {signed(test.difference)} points ({ends}). "
        f"Zero-shot: {zero_shot:.1f} %."
    )


def tested(label: str, accuracy: str, test: PairTest | None) -> str:
    """Returns an accuracy with its interval, and the p-value of its test against zero-shot."""
    return f"{label}: {accuracy}" + ("" if test is None else f"; {p_in_words(test.p_value)}")


HOW_SURE = "How sure is this?"
HOW_TESTED = (
    "The intervals hold 95 %: Wilson's for an accuracy, the paired bootstrap's for a difference. "
    f"p: McNemar's exact test on the same images; *within noise* means p ≥ {CLEAR:g}."
)


def filled_in(config: TrainConfig, method: str) -> str:
    """Returns what the button for overfitting has set, and what to press now, as Markdown."""
    images = "1 image" if config.shots == 1 else f"{config.shots} images"
    return (
        f"**Set:** {method} on *{config.data}*, {images} per class, base classes only, learning "
        f"rate {config.learning_rate:g}, {config.epochs} epochs. {WATCH_OVERFITTING}"
    )


MEMORISED = 20.0  # points of training accuracy above that on validation images
OVERFITTING = (
    "**This is overfitting:** the prompt fits its own training images far better than other "
    "images of the same classes."
)


def what_came_out(
    training: float | None, validation: float | None, tests: Mapping[str, PairTest]
) -> str:
    """Returns what a training with the settings for overfitting has shown, as measured.

    Args:
        training: accuracy on the training images after the last epoch, in percent.
        validation: the same on the validation images.
        tests: "base" or "new" → the test against zero-shot.
    """
    parts = []
    if training is not None and validation is not None:
        parts.append(
            f"In the end {training:.0f} % of the training images are right, and "
            f"{validation:.0f} % of the validation images."
        )
        if training - validation >= MEMORISED:
            parts.append(OVERFITTING)
    for part, test in tests.items():
        change = f"{signed(test.difference)} points"
        parts.append(f"{PARTS[part]}: {verdict(test)} ({change}).")
    return f"**What came out:** {' '.join(parts)}"


def seeds_to_train(missing: Sequence[int], seeds: Sequence[int], time: str) -> str:
    """Returns which of some seeds are trained by the button, with the time for them."""
    if len(missing) == len(seeds):
        return time
    there = ", ".join(str(seed) for seed in seeds if seed not in missing)
    return f"{time}; already there or in the queue: seed {there}"


def seeds_in_words(seeds: Sequence[int], means: Mapping[str, SeedMean]) -> str:
    """Returns the mean of every measure over seeds, ± their standard deviation."""
    names = ", ".join(map(str, seeds))
    parts = [
        f"{MEASURES[name].lower()} **{part.mean:.1f} ± {part.std:.1f} %**"
        for name, part in means.items()
    ]
    return (
        f"**Mean over seeds {names}:** {', '.join(parts)}. The ± is the sample standard deviation "
        "(n − 1). It shows how much depends on which training images are drawn."
    )

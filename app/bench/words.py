"""The texts of the tab "Many pictures"."""

from __future__ import annotations

from collections.abc import Sequence

from app.common.words import escape_markdown
from mocoop.evaluation.picture_labels import LabelledResult
from mocoop.evaluation.unlike_training import METHOD, SHARE

MOST = 2000  # pictures at a time
ENCODING_TRAINING = "Encoding the training images …"
INTRO = (
    "Upload many pictures, or a zip of folders. This run classifies them all and gives you one "
    "table."
)
UPLOAD = f"Pictures, or zips of pictures (up to {MOST:,} pictures)"
UPLOAD_HELP = (
    "In a zip, the folder of a picture is its true label: cat/1.jpg. Folders that are no class "
    "are left out of the accuracy."
)
LABELS = "True labels as CSV (optional)"
LABELS_HELP = (
    "The first line names the columns: file and label. Then follows a line for each picture. "
    "If a picture is in this file, the label of its folder is not used."
)
CHANGED = "The pictures, the labels or the run changed. Press the button again."
HOW_TITLE = "How is *unlike the training images* decided?"
HOW = (
    f"{METHOD}\n\nThe column *quantile* is the share of the training images that are as near to "
    "another training image, or nearer. With few training images the threshold is rough, so use "
    "it as a hint to look at the picture. It depends on the CLIP: for the small CLIP of the "
    "project, pure noise looks much like its training images. Pictures of noise or of one colour "
    "therefore have a note of their own."
)
EXPERT_ENTROPY = "In nats: 0 if the router is sure of one expert, higher if it is unsure."
CLASS_ENTROPY = "In nats: 0 if the run is sure of one class, higher if it is unsure."
DISTANCE = "1 - cosine between this picture's CLIP feature and the nearest training image's."
QUANTILE = (
    "The share of the training images that are as near to another one, or nearer. Above "
    f"{SHARE:.2f}: unlike the training images."
)
ALL, UNLIKE, WRONG, RIGHT = "all", "unlike the training images", "wrong", "right"
NOT_READ = "Not read"
NO_LABELS = "No true labels, so there is no accuracy."
FILTER = "Show"
CSV = "All pictures as CSV"
NOTHING = "No picture is of this kind."
CONFUSION = "Confusion: true classes are rows, predicted classes are columns"
MISTAKES = "**Most frequent mistakes**"


def button(count: int) -> str:
    """Returns the label of the button that starts."""
    return f"Classify {count:,} picture{'s' * (count != 1)}"


def progress(done: int, total: int) -> str:
    """Returns the text on the progress bar."""
    return f"{done:,} of {total:,} pictures"


def too_many(count: int) -> str:
    """Returns that only some of the pictures are used."""
    return f"You uploaded {count:,} pictures. Only the first {MOST:,} are used."


def done(count: int, seconds: float) -> str:
    """Returns how many pictures were classified, and how quickly."""
    return f"{count:,} picture{'s' * (count != 1)} classified in {seconds:.1f} s"


def hidden(names: Sequence[str]) -> str:
    """Returns which files of a zip are not classified because they are hidden."""
    few = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    files = "1 file that is" if len(names) == 1 else f"{len(names):,} files that are"
    return escape_markdown(f"Left out: {files} hidden, or added by the operating system: {few}")


def not_judged(reason: str) -> str:
    """Returns why it is not known which pictures are unlike the training images."""
    text = f"It is not known which pictures are unlike the training images: {reason}"
    return escape_markdown(text)


def usual(judged: int) -> int:
    """Returns how many of as many training images would be called unlike the others."""
    return round((1 - SHARE) * judged)


def unlike(count: int, judged: int) -> str:
    """Returns how many pictures are unlike the training images, and how many would be usual."""
    few = usual(judged)
    return (
        f"{count:,} of {judged:,} picture{'s' * (judged != 1)} {'is' if count == 1 else 'are'} "
        f"unlike the training images. About {few:,} would be usual: the threshold calls "
        f"{100 * (1 - SHARE):.0f} % of the training images themselves unlike the others."
    )


def left_out(result: LabelledResult) -> list[str]:
    """Returns which labels are left out of the accuracy, and how many pictures they have."""
    lines = []
    if result.unknown:
        count = sum(result.unknown.values())
        names = ", ".join(f"{label} ({number})" for label, number in result.unknown.items())
        lines.append(
            escape_markdown(
                f"Left out: {count:,} picture{'s' * (count != 1)} with a label that no class "
                f"has: {names}"
            )
        )
    if result.unlabelled:
        count = result.unlabelled
        lines.append(f"Left out: {count:,} picture{'s' * (count != 1)} without a label")
    return lines


def interval(result: LabelledResult) -> str:
    """Returns the interval of an accuracy, and of how many pictures it is."""
    if result.interval is None:
        return ""
    low, high = result.interval.low, result.interval.high
    return f"95 % interval {low:.1f} to {high:.1f} · {result.right:,} of {result.images:,} right"

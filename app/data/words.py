"""The texts of the Data page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from app.common.words import escape_markdown

FEW_NAMES = 3  # up to this number, all class names are listed

TITLE = "Data"
TERMS = ("style", "role", "base and new classes", "group", "hard prompt")
CAPTION = (
    "The images that prompts are learned from. Choose a data set, type the path of a folder, or "
    "upload a zip."
)
TRAIN_ON_IT = "Train on it"
PICTURES, CLASSES, TEMPLATES = "Pictures", "Classes", "Templates"  # the tabs, with `CHECK`
NEW_TEMPLATES = "New templates"

# Upload.
UPLOAD = "Upload a zip"
UPLOADER = "Zip or tar of images"
WHICH_NAMES = "The zip does not say how its names are stored. Which are right?"
USE_IT = "Use it"
EXTRACTING = "Extracting …"

# Size and card.
NUMBER_OF_CLASSES, NUMBER_OF_STYLES = "Classes", "Styles"
SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}
LABEL_MEANS = "What a label means"
CAN_BE_LEARNED = "What can be learned"
CANNOT_BE_LEARNED = "What cannot be learned"

NO_TEST_IMAGES = (
    "There are no test images, so a run on this data set cannot be tested. With four images or "
    "more in every class there are some for training, validation and test."
)

# Images.
SPLIT, CLASS, STYLE = "Split", "Class", "Style"
ALL = "all"
NO_MATCH = "No image matches these filters. Remove one of them."

# Class names.
SAVE_NAMES = "Save the names"

# Templates.
GROUPS = "Groups of templates; one expert starts from each group:"
STARTS_FROM, KEPT_CLOSE_TO = "starts from", "kept close to"
WHICH_GROUPS = "Which groups suit these pictures?"
WHICH_GROUPS_CAPTION = (
    "CLIP searches for the groups of templates that together classify the training images best. "
    "It stops when one more group does not help. The small built-in CLIP knows few words. For "
    "photographs, use a full CLIP. New ones are written in the tab *New templates*."
)
CLIP, MAXIMUM = "CLIP", "Maximum number of groups"
PROPOSE = "Propose groups"
COMPARING = "Comparing …"
NO_SECOND_GROUP = (
    "A second group does not help on these images. The groups of the data set stay as they are."
)
BEST_FIT = "images that fit it best"
ADDS = "gain in log probability, nats"
ADDS_HELP = "How much this group increases the mean log probability of the true classes."
USE_FOR_TRAINING = "Use them for the next training"
SAVE_WITH_DATA = "Save them with the data set"
NOW_IN_TABLE = "They are now in the table of templates: go to the Train page"

# The check.
OPEN_EVERY = "Open every image"
OPENING = "Opening images …"
ALL_READABLE = "All images exist and can be read."
MISSING, UNREADABLE, DUPLICATE = "missing", "cannot be read", "also in training"
TWO_CLASSES, LEFT_ASIDE = "also in another class", "left aside"
NO_FILE = "no such file"

# All data sets.
ALL_SETS = "All data sets, and how to get the missing ones"
STATES = {"built in": "ready", "ready": "ready", "broken": "incomplete", "missing": "missing"}
DATA_SET, STATE, CONTENTS, NEXT_STEP = "data set", "state", "contents", "next step"
WHERE = (
    "Benchmark data sets are in the folder `data`, or in the folder that MOCOOP_DATA names. "
    "`mocoop data download NAME` shows the terms of use, and then downloads a data set."
)


def upload_limits(megabytes: int, entries: int, gigabytes: float) -> str:
    """Returns what a zip must contain, and how large it may be."""
    return (
        "The zip or tar needs one folder of images per class, or folders train/, val/ and test/ "
        "that contain such folders; or a table beside the images. Limits: "
        f"{megabytes} MB, {entries:,} files, {gigabytes:g} GB unpacked. The zip stays on this "
        "machine."
    )


def halves(base: Sequence[str], new: Sequence[str]) -> str:
    """Returns how the classes are split for the base-to-new protocol, as Markdown.

    Args:
        base: names of the base classes.
        new: those of the new classes.
    """
    return f"Base classes: {_named(base, 'the first')}. New classes: {_named(new, 'the other')}."


def _named(names: Sequence[str], which: str) -> str:
    """Returns up to `FEW_NAMES` names, or the number of names with the first and the last one."""
    names = [escape_markdown(name) for name in names]
    if len(names) > FEW_NAMES:
        return f"{which} {len(names):,}, {names[0]} to {names[-1]}"
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def images(count: int) -> str:
    """Returns how many images pass the filters."""
    return f"{count:,} images"


def change_names(file: str, beside: str = "") -> str:
    """Returns what a class name is for, and where a changed one is saved.

    Args:
        file: name of the file.
        beside: name of the folder beside an archive; empty for images in a folder.
    """
    where = (
        f"in the folder `{beside}` beside the archive" if beside else "in the folder of the images"
    )
    return (
        "Every prompt contains the class name. Change a name here if it does not say what the "
        f"images show. The change is saved in `{file}` {where}."
    )


def zero_shot(template: str) -> str:
    """Returns the template of zero-shot."""
    return f"Zero-shot template: *{escape_markdown(template)}* (`{{}}` stands for the class name)"


def what_is_checked(count: int) -> str:
    """Returns what the check does."""
    return (
        f"This opens all {count:,} images. It compares the numbers of images with the published "
        "ones, if there are any. It also looks for images that are both in the training split and "
        "in the test split."
    )


def use_command_line(source: str) -> str:
    """Returns the command that checks a large data set."""
    return f"For so many images, use the command line: `mocoop data check {shlex.quote(source)}`."


def opened(done: int, total: int) -> str:
    """Returns how many images have been opened."""
    return f"{done:,} of {total:,} images"


def other_count(what: str, found: int, published: int) -> str:
    """Returns that a number of images is not the published one."""
    return f"{what}: {found:,} here, {published:,} published."


def leave_out(count: int) -> str:
    """Returns the label of the button that leaves out broken images."""
    return "Leave this image out" if count == 1 else f"Leave these {count} images out"

"""The texts about new templates on the Data page."""

from __future__ import annotations

from collections.abc import Mapping

from app.jobs.template_worker import (
    ASKING,
    CHECKING,
    GRAMMAR,
    GROUPING,
    IMAGES,
    LINES,
    LOADING,
    MODEL,
)
from mocoop.template_making.candidates import MOST

TITLE = "New templates"
CAPTION = (
    "Candidates are written, each is checked on a few training images, and what is left is "
    "grouped. One expert starts from each group."
)

# The form.
WRITER = "Who writes"
WRITERS = {GRAMMAR: "Built-in grammar", LINES: "Your own lines", MODEL: "Chat model"}
WRITER_HELP = (
    "The grammar has about 320 templates and needs no network. A chat model gets your sentence "
    "and ten class names, but never images."
)
ABOUT = "What the pictures show"
ABOUT_HINT = "photos of pets at home"
ABOUT_HELP = (
    "A sentence. A chat model reads it. The grammar makes a template of a short one, such as "
    "*a type of pet*."
)
OWN_LINES = "Templates, one per line"
OWN_HINT = "a blurry photo of a {}.\na sketch of a {}."
MODEL_NAME, ADDRESS = "Model", "Address"
MODEL_HINT, ADDRESS_HINT = "llama3.2", "http://localhost:11434/v1"
ADDRESS_HELP = (
    "An endpoint that speaks the protocol of OpenAI: ollama, llama.cpp's server, vLLM, or a "
    "hosted one. Empty: OpenAI's own, or the one in OPENAI_BASE_URL."
)
CLIP = "CLIP that checks and groups"
SEED = "Seed"
WRITE = "Write templates"

# While it works.
STEPS = {
    "": "Waiting for its turn",
    LOADING: "Opening the data set and the CLIP",
    IMAGES: "Encoding images",
    ASKING: "Asking the chat model",
    CHECKING: "Encoding templates",
    GROUPING: "Grouping",
}
UNITS = {IMAGES: "images", ASKING: "answers", CHECKING: "templates"}
CANCEL = "Cancel"
CANCELLED = "The writing of templates was cancelled. Press *Write templates* to start again."
CHANGED_DATA = (
    "The data set has changed since its templates were written. Press *Write templates* to write "
    "them for the new one."
)
NONE_YET = "No templates have been written for this data set yet."

# The candidates.
CANDIDATES = "Candidates"
ALL, GROUPED, LEFT, KEPT, REFUSED = "all", "in a group", "in no group", "kept", "refused"
SHOW = "Show"
TEMPLATE, CHECKED, WHY = "template", "result", "why refused"
FACTOR, ACCURACY, REMARK = "about", "alone", "remark"
ACCURACY_HELP = (
    "Accuracy of this template alone on the few-shot training images, in percent. A dash: it was "
    "refused before it was tried on images, for the reason beside it."
)
NOT_TRIED = "–"
OTHER_LANGUAGE = "other language"

LEFT_HELP = (
    "A template is in no group if it helps no training image that the groups do not help already. "
    "You can move it into a group, on the map or in the table below it."
)

# The groups.
GROUPS = "Groups"
GROUP = "group"
NUMBER = "Number of groups"
AGAIN, UNDO = "Group again", "Undo"
UNDO_HELP = "Takes back the last change of the groups."
IN_NO_GROUP = "in no group"
SELECT = "Draw a line around points on the map, or tick rows of the table below."
MOVE_TO, MOVE = "Move to", "Move"
NEW_GROUP, LEAVE_OUT = "a new group", "no group (leave out)"
NAME_OF_NEW = "Its name"
CHANGE = "Change a group"
NEW_NAME, RENAME, SPLIT = "New name", "Rename", "Split in two"
MERGE_WITH, MERGE = "Merge into", "Merge"
MAP_ALT = "map of the templates, coloured by group"
EVERY_TEMPLATE = "All templates by group"
TYPED_BOX = "Type a prompt to see its place on the map"
TYPED = "your prompt"
ADD = "Add it to this group"

# Six pictures.
SIX = "What the groups make of six pictures"
SIX_CAPTION = (
    "Each group's first template, from which its expert starts, without training: its answer and "
    "the probability of that answer. ✓ is the right class."
)
OTHERS = "Other pictures"
NO_PICTURES = "The data set has no pictures to show."
GROUPS_SIX, PICTURE, TRUE, ANSWER = "group", "picture", "true class", "answer"
PROBABILITY, OF_TRUE = "probability", "probability of the true class"
OF_SIX = "Numbers"

# Use them.
USE = "Use these groups"
TRAIN = "Train with these groups"
DOWNLOAD = "Download"
DOWNLOAD_HELP = (
    "A JSON file with the groups, every candidate and every answer. `mocoop train --templates "
    "FILE` reads it."
)
SAVE = "Save them with the data set"


def key_of_server(variable: str) -> str:
    """Returns whether the server has a key for chat models.

    Args:
        variable: the name of the environment variable that holds it; "" if there is none.
    """
    if variable:
        return f"The key in `{variable}` is sent to this address. It is neither shown nor stored."
    return (
        "No key is set. Most servers on your own machine need none. For a hosted model, set "
        "`MOCOOP_CHAT_KEY` before you start the app."
    )


def own_lines_help() -> str:
    """Returns how many lines there may be."""
    return f"Each has {{}} where the class name goes. Up to {MOST:,} lines."


def progress(step: str, done: int, total: int) -> str:
    """Returns what is being done, and how far it is."""
    unit = UNITS.get(step)
    return f"{STEPS[step]}: {done:,} of {total:,} {unit}" if unit and total else f"{STEPS[step]} …"


def so_far(kept: int, refused: int, shown: int) -> str:
    """Returns how many candidates have come so far, and how many of them are shown."""
    text = f"So far {kept:,} kept and {refused:,} refused."
    return text if shown == kept + refused else f"{text} The newest {shown:,} are shown."


def stopped(message: str, log: str) -> str:
    """Returns why the process ended by itself.

    Args:
        message: the status's.
        log: the file with the output of the process.
    """
    return f"The writing of templates has stopped: {message}. Its output is in {log}."


def counts(numbers: Mapping[str, int], others: int) -> str:
    """Returns how many candidates had each result, and how many kept ones are not English."""
    text = ", ".join(f"**{count:,}** {result}" for result, count in numbers.items()) + "."
    if others:
        text += f" {others:,} of the kept ones seem to be in another language than English."
    return text


def reasons(counted: Mapping[str, int]) -> str:
    """Returns the reasons for refusals with their numbers, the most frequent first."""
    return "Refused: " + "; ".join(f"{count:,} {reason}" for reason, count in counted.items())


def why_number(number: int, why: str, validation: float | None) -> str:
    """Returns why there are so many groups, and how good they are without training."""
    text = (
        f"{_groups(number)}, each around a template that helps some of the training images. Why "
        f"{number}: {why}."
    )
    if validation is not None:
        text += f" Accuracy on validation images without training: {validation:.1f} %."
    return text


def map_shows(share: float) -> str:
    """Returns how much of the differences the map shows."""
    return (
        f"Features of the templates, centred, in two dimensions (PCA, {share:.0%} of the "
        "variance). Points that are near here can still be far from each other."
    )


def only_some(shown: int, left: int) -> str:
    """Returns that the map shows only some of the templates in no group."""
    return (
        f"For a quick map, only {shown:,} of the {left:,} templates in no group are drawn. "
        "The table below has all of them."
    )


def selected(count: int) -> str:
    """Returns how many templates are selected."""
    return "1 template selected" if count == 1 else f"{count:,} templates selected"


def in_group(count: int, first: str) -> str:
    """Returns a group's size and the template that its expert starts from."""
    size = "1 template" if count == 1 else f"{count:,} templates"
    return f"{size}, starts from: {first}"


def shortened(name: str, letters: int) -> str:
    """Returns a name, cut where it has more than so many letters."""
    return name if len(name) <= letters else f"{name[: letters - 1].rstrip()}…"


def undo(steps: int) -> str:
    """Returns the label of the button that takes back a change."""
    return f"{UNDO} ({steps})" if steps else UNDO


def nearest(template: str, group: str, cosine: float) -> str:
    """Returns the group that a typed prompt is nearest to."""
    return f"'{template}' is nearest to the group '{group}' (cosine {cosine:.2f})."


def cannot_add(reason: str) -> str:
    """Returns why a typed prompt cannot be in a group."""
    return f"It cannot join a group: {reason}."


def picture_number(number: int, class_name: str) -> str:
    """Returns the number of a picture and its true class."""
    return f"{number}. {class_name}"


def saved(file: str) -> str:
    """Returns where the groups were saved."""
    return f"Saved in `{file}`. The data set now uses these groups everywhere."


def cannot_save(groups: int) -> str:
    """Returns what can be done with groups where nothing may be changed."""
    return f"This is a read-only demo. Download the {_groups(groups)} to train with them."


def _groups(number: int) -> str:
    return "1 group" if number == 1 else f"{number:,} groups"

"""The texts of the parts that several pages share, and the names of the pages in the menu."""

from __future__ import annotations

from app.common.words import escape_markdown

HOME, DATA, TRAIN = "Home", "Data", "Train"
ROUTING, PROMPT_SPACE = "Routing", "Prompt space"
OVERFITTING_LAB, FEDERATED, COMPARE = "Overfitting lab", "Federated", "Compare"
STARTING = "Starting …"

# Figures and tables.
SAVE, SAVE_AS = "Save", "Save as"
HTML_PAGE = "HTML page (interactive; it can also save PNG and SVG)"
CAMERA = "The camera button above the figure saves"
CSV = "CSV"

# Words on this page.
WORDS_ON_THIS_PAGE = "Words on this page"
PAGE_WORDS = {
    "style": "how a picture is drawn: like a photo, as a sketch, dark, …",
    "role": "the place of a thing in a picture: the large thing, the small one, the pattern "
    "(many), the left one, … In some built-in sets the style decides which role counts: the label "
    "is the thing with this role.",
    "group": "hard prompts with one meaning, such as sketches: *a sketch of a {}*, *a drawing of "
    "a {}*.",
    "expert": "a soft prompt of the mixture. It starts from the first hard prompt of a group, and "
    "has the group's name.",
    "router": "the part of the mixture that chooses experts for each picture.",
    "soft prompt": "learned vectors that take the place of the words before a class name.",
    "hard prompt": "a sentence of written words, which is not learned.",
    "zero-shot": "CLIP with one hard prompt, without any training.",
    "ensemble": "CLIP with the mean of many hard prompts, without any training.",
    "seed": "a number that decides which training images are drawn, and how a training starts.",
    "base and new classes": "the first half of the classes, and the other half. A run that was "
    "trained on base classes has never seen an image of a new class.",
    "point": "one percent of the test images: from 40 % to 45 % are 5 points.",
    "client": "one of those that train together, such as a hospital. Its pictures stay with it.",
    "round": "each client trains for a few epochs, and then the server averages.",
    "FedAvg": "federated averaging: the server takes the mean of what the clients learned, and "
    "every client goes on from it.",
}
"""Term → what it means."""

LOOK_CLOSER = "Look closer"

# Dark pictures.
BRIGHTEN = "Brighten dark pictures (display only)"
BRIGHTEN_HELP = (
    "For projectors and print. It changes only how dark pictures are shown here. The model always "
    "gets the original picture."
)

# Choosing a data set or a run.
DATA_SET = "Data set"
DATA_SET_HELP = (
    "Choose a built-in set or a benchmark on this machine. For your own images, type the path of "
    "a folder with one folder of images per class, or the path of a CSV file that lists images. "
    "To upload a zip, use the Data page."
)
RUN = "Run"
TRAIN_A_RUN = "Train a run"

# A typed prompt.
YOUR_PROMPT = "Your prompt"
PROMPT_HELP = "Any sentence, with {} where the class name goes. It is tried without training."
LEARN_FROM_HERE = "Learn from here"


def loading(clip: str, data: str) -> str:
    """Returns which CLIP and whose test images are being loaded."""
    return (
        f"Loading the CLIP {clip} and the test images of {data}. The first time can take a "
        "minute. After that it is quick …"
    )


def no_run_to_look_at(what_for: str) -> str:
    """Returns that a read-only server has no finished run, and what the page would show."""
    return f"There is no finished run here yet. This page shows {what_for}."


def no_run(what_for: str) -> str:
    """Returns that there is no finished run, and why to train one."""
    return f"There is no finished run yet. Train one to see {what_for}."


def other_run(asked: str) -> str:
    """Returns that a link names a run that cannot be shown, as Markdown."""
    return (
        f"The link asks for run {escape_markdown(repr(asked))}, which does not exist here or is "
        "not finished. Another run is shown."
    )


def newer_run(asked: str) -> str:
    """Returns that a link names a run that a newer version wrote, as Markdown."""
    return (
        f"The link asks for run {escape_markdown(repr(asked))}, which was written by a newer "
        "version of MoCoOp. Update MoCoOp to see it. Another run is shown."
    )


def learn_from_here_help(method: str) -> str:
    """Returns what the button for a training from a typed prompt does."""
    return (
        f"Opens the Train page with {method} and this sentence as the start of its prompt. The "
        "training starts when you press the button there."
    )


def truth(class_name: str) -> str:
    """Returns the true class below a wrong prediction."""
    return f"true class: {class_name}"


def look_closer(number: int) -> str:
    """Returns the label of the button that opens an image; assets/app.css shows its first part."""
    return f"{LOOK_CLOSER} *at image {number}*"


def test_image(class_name: str, style: str | None) -> str:
    """Returns what a test image shows, for screen readers."""
    return f"{class_name}, {style or 'a test image'}"


def with_style(class_name: str, style: str | None) -> str:
    """Returns a class with the style of an image, if that is known."""
    return f"{class_name}, {style}" if style else class_name


UPDATED = (
    "MoCoOp was updated while the app was running. Pages and trainings may fail until you stop "
    "the app and start it again. Trainings that run now go on."
)

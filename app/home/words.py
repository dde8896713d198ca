"""The texts of the Home page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.common.words import escape_markdown, role_in_words

NBSP = "\u00a0"  # a number and its % stay on one line
_STYLES = {"photo": "a photo-like drawing", "sketch": "a sketch", "dark": "a dark picture"}

TITLE = "MoCoOp: a mixture of prompts"
INTRO = (
    "CLIP recognises what is in an image by comparing it with sentences such as *a photo of a "
    "cat*. MoCoOp **learns** several such prompts from a few images per class. Each prompt is an "
    "**expert**, for example for sketches, or for the small thing in a corner. For every image, a "
    "small **router** chooses the experts that suit it and mixes their predictions. Learned from "
    "few images, a prompt can **overfit**: it fits the classes it has seen and gets worse on "
    "others. This app shows when that happens, and what helps."
)

# The buttons.
FIRST_LESSON = "First lesson"
TRAIN_ONE = "Go to Train"
EXPLORE = "Explore a finished run"
RUN = "Run"
ANOTHER_IMAGE = "Another image"

# Without a run.
NO_RUN_HERE = "There is no finished run here yet."
NO_RUN = (
    "There is no finished run yet. Train one: the page *Train* says how long it takes. No GPU and "
    "no network are needed. Images and their predictions then appear here."
)

# The story.
LOOKING = "Looking for a picture …"
RIGHT, WRONG = "Right", "Wrong"
NOT_THERE = "names a thing that is not there"
HOW_TO_READ = (
    "**How to read this.** *Zero-shot*: CLIP with one hand-written prompt, nothing learned. "
    "*CoOp*: one learned prompt. *Images per class*: how many training images each class has. "
    "*Seed*: which ones were drawn. `{}` in a prompt stands for the class name. A colour belongs "
    "to an expert: the bar in the router's list, the dash at its box and the band between them."
)
WHY_IT_COUNTS = (
    "Each picture shows several things. How it is drawn (like a photo, as a sketch, dark, …) "
    "decides which of them is its label, so that no single prompt is right for all pictures."
)

# The figure of the pipeline.
IMAGE, ROUTER, EXPERTS, MIXED_ANSWER = "Image", "Router", "Experts", "Mixed answer"
CLASSIFIER, ANSWER = "Classifier", "Answer"
ANSWER_RIGHT = "right"

# The machine.
NO_GPU = "No GPU"
DEMO, DEMO_MISSING = "the built-in demo", "the built-in demo is missing"
THIS_MACHINE, CLIP, DATA_SETS, RUNS = "This machine", "CLIP", "Data sets", "Runs"


def only_mixture_right(zero_shot: str, single: str, mixture: str) -> str:
    """Returns that of three methods only the mixture is right."""
    return (
        f"**Here {zero_shot.lower()} and one learned prompt ({single}) are wrong. The mixture "
        f"({mixture}) is right.**"
    )


def why(style: str | None, role: str, truth: str, chosen: Sequence[tuple[str, float]]) -> str:
    """Returns what counts in a picture, and which experts the router chose, as Markdown.

    Args:
        style: the picture's style, if it is known.
        role: the part that the true thing plays in the picture.
        truth: the true class.
        chosen: the chosen experts with their weights, 0 to 1.
    """
    experts = [f"*{escape_markdown(name)}* ({100 * weight:.0f}{NBSP}%)" for name, weight in chosen]
    where = _STYLES.get(style or "", "this picture")
    counts = f"In {where} {role_in_words(role)} counts, here the **{escape_markdown(truth)}**."
    if len(experts) == 1:
        return f"{counts} The router chose the expert {experts[0]}."
    return f"{counts} The router chose the experts {', '.join(experts[:-1])} and {experts[-1]}."


def names_part(role: str) -> str:
    """Returns which part of a picture a method names: 'names the large thing'."""
    return f"names {role_in_words(role)}"


def right_or_wrong(right: bool, named: str, accuracy: float | None) -> str:
    """Returns the line below a method's answer: right or wrong, and how often it is right."""
    often = "" if accuracy is None else f" Right on {accuracy:.0f}% of the test images."
    return f"{RIGHT if right else WRONG}: {named}.{often}"


def wrong(method: str, predicted: str, truth: str, how_often: str) -> str:
    """Returns a sentence about a wrong prediction, as Markdown.

    Args:
        method: the method's name.
        predicted: the predicted class.
        truth: the true class.
        how_often: from `how_often_right`; empty if that is not known.
    """
    sentence = (
        f"Here {method} is wrong. It predicts **{escape_markdown(predicted)}**, but the true "
        f"class is **{escape_markdown(truth)}**."
    )
    return f"{sentence} It is {how_often}." if how_often else sentence


def how_often_right(results: Mapping[str, Any]) -> str:
    """Returns how often a run is right: 'right on 80 % of the test images'.

    A run that was trained on half of the classes is tested on each half.

    Args:
        results: the run's results; empty gives an empty text.
    """
    if "all" in results:
        return f"right on {results['all']['accuracy']:.0f} % of the test images"
    halves = [
        f"{results[half]['accuracy']:.0f} % of the test images of the {half} classes"
        for half in ("base", "new")
        if half in results
    ]
    return f"right on {' and '.join(halves)}" if halves else ""


def drawn_as(style: str | None) -> str:
    """Returns the style below the image; empty if it is not known."""
    return f"drawn as: {style}" if style else ""


def what_counts(role: str) -> str:
    """Returns what counts in the image; empty if it is not known."""
    return f"what counts: {role_in_words(role)}" if role else ""


def below_picture(truth: str, style: str | None, role: str) -> str:
    """Returns the lines below the picture of the story, as Markdown."""
    lines = [f"**{escape_markdown(truth)}**", drawn_as(style), what_counts(role)]
    return "  \n".join(line for line in lines if line)


def weight(share: float) -> str:
    """Returns an expert's weight."""
    return f"weight {share:.0%}"


def true_class(name: str) -> str:
    """Returns the true class below a wrong answer."""
    return f"true: {name}"


def device(name: str, cores: int) -> str:
    """Returns the machine's GPU, if there is one, and its processor cores."""
    return f"{name}, {cores} processor core{'s' * (cores > 1)}"


def data_sets(built_in: Sequence[str], own: Sequence[str], most: int) -> str:
    """Returns the names of the built-in data sets and of up to `most` others."""
    more = ""
    if own:
        rest = f" and {len(own) - most} more" if len(own) > most else ""
        more = f"; {', '.join(own[:most])}{rest}"
    return f"{', '.join(built_in)}{more}; any folder of images"


def runs(finished: int, all_runs: int) -> str:
    """Returns how many runs are finished."""
    return f"{finished} finished of {all_runs}"

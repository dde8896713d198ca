"""The texts of the tab "Type a prompt", and of editing a group."""

from __future__ import annotations

from collections.abc import Mapping

from app.common.words import NO_CLEAR_DIFFERENCE, escape_markdown, signed
from mocoop.evaluation.paired import PairTest

TYPE_SOMETHING = "Nothing is trained here: CLIP compares your sentence with every image. Try:"
ANOTHER_PICTURE = "Another picture"
YOUR_PROMPT, ZERO_SHOT = "Your prompt", "Zero-shot"
ON_TEST_IMAGES = "On the test images"
AGAINST_HELP = (
    "Zero-shot is the data set's plain prompt. The brackets hold a paired bootstrap interval of "
    "the difference. McNemar's exact test says whether the difference is clear."
)
PARTS_ALT = "Accuracy of the typed prompt and of zero-shot, by style and by role"
NO_PART_CHANGES = "The accuracy is the same on every part of the test images."

# Editing a group.
EDIT_GROUP = "Edit a group's hard prompts"
TUNED_TOWER = (
    "This run changed CLIP's image tower, so its router cannot be combined with other hard "
    "prompts here. Choose a run with a frozen image tower."
)
SHIFTED_PROMPTS = (
    "In this run every image changes the prompts of its experts, so its router cannot be combined "
    "with other hard prompts here. Choose a run without this, such as MoCoOp."
)
EDIT_CAPTION = (
    "The prototype of a group is the mean of its hard prompts. In training, the prototypes tell "
    "the router which expert an image should go to. Write one sentence per line."
)
GROUP, ITS_PROMPTS = "Group", "Its hard prompts"
TRAIN_WITH_GROUP = "Train with this group"
TARGET_ALT = "How many images the routing target sends to each group first, before and after"
EFFECTS = {
    "cosine": "cosine to the old prototype",
    "alone": "this group's prompts alone, % right",
    "mixed": "all groups with this run's router, % right",
    "target": "images that the routing target sends here first, %",
}
EFFECT_COLUMNS = ("measure", "as in the run", "edited")


def typed_truth(class_name: str, style: str | None) -> str:
    """Returns the true class and the style below a picture."""
    return escape_markdown(f"True class: {class_name}{f', {style}' if style else ''}")


def against_zero_shot(test: PairTest) -> str:
    """Returns whether the typed prompt beats zero-shot, with the interval of the difference."""
    interval = f"[{signed(test.interval.low)}, {signed(test.interval.high)}]"
    text = f"{signed(test.difference)} points against zero-shot {interval}"
    if test.p_value >= 0.05:
        return f"{text}: {NO_CLEAR_DIFFERENCE}"
    return f"{text}: {'better' if test.difference > 0 else 'worse'}"


def best_and_worst(gains: Mapping[str, float]) -> str:
    """Returns where the typed prompt gains and loses most; empty without parts.

    Args:
        gains: part of the test images → gain over zero-shot in points, smallest first.
    """
    if not gains:
        return ""
    parts = list(gains.items())
    (worst, loss), (best, gain) = parts[0], parts[-1]
    sentences = []
    if gain > 0:
        sentences.append(f"It gains most on {best} ({signed(gain)} points).")
    if loss < 0:
        sentences.append(f"It loses most on {worst} ({signed(loss)} points).")
    return " ".join(sentences) or NO_PART_CHANGES


def target_moves(before: str, after: str) -> str:
    """Returns which group the routing target chooses first for a picture, as Markdown."""
    if before == after:
        text = f"For the picture shown, the routing target's first choice is still {after}."
    else:
        text = (
            f"For the picture shown, the routing target's first choice was {before}. Now it is "
            f"{after}."
        )
    return escape_markdown(text)

"""What the Prompt space page says, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.common.words import escape_markdown

TITLE = "Prompt space"
CAPTION = (
    "Hard prompts are sentences. Soft prompts start from them and are learned. Do they keep "
    "their meaning?"
)
WHAT_FOR = "how its prompts moved"
CONDITIONAL = (
    "This method adds to its prompts a vector that it computes from each image. This page shows "
    "every prompt without this vector."
)
OTHER_RUNS = "Above, you can choose a run of a method that learns prompts (MoCoOp, CoOp, LASP …)."
TRAIN_ONE = "Train one"

LOOKING_FOR_WORDS = "Looking for the nearest words …"

# The numbers.
EPOCH = "Epoch"
EPOCH_HELP = "The epochs that the run saved. Epoch 0 is before training."
DRIFT_OVER_EPOCHS = "**Cosine to own prototype**, over the saved epochs"
DRIFT_ALT = "Each expert's cosine to its own prototype over the saved epochs"
OWN_COSINE, OWN_COSINE_HELP = (
    "cosine to own prototype",
    "Cosine similarity of the soft prompt and the mean of its own group's hard prompts, "
    "averaged over classes. 1 means that it did not move.",
)
OWN_NEAREST, OWN_NEAREST_HELP = (
    "own group is nearest",
    "Share of the classes for which the soft prompt's nearest group of hard prompts is "
    "still its own. A low value means that the expert lost the meaning of its group.",
)
OUTSIDE, OUTSIDE_HELP = (
    "outside the hard prompts",
    "Share of the soft feature's squared length that is outside the span of the hard "
    "prompts of its class. This is what training added and what no linear combination of the "
    "hard prompts can express.",
)

# Learned tokens in the towers' blocks.
BLOCKS = "Block by block"
BLOCK, MOVED = "block", "distance from the start"
BLOCKS_ALT = "How far the learned tokens of each block moved, for both towers"
BLOCKS_HELP = (
    "The length of the difference from the start, divided by the length of the start: 1 means "
    "that the tokens moved as far as they were long. Block 1 of the text tower starts from words, "
    "other blocks from small random values, which are soon left behind. So compare epochs and "
    "runs rather than blocks."
)
NO_BLOCKS = (
    "This run learned tokens in the blocks of CLIP's towers, but an earlier version trained it "
    "and did not keep how far they moved. Train it again to see it."
)

# The map's settings.
MAP = "Map of the prompts"
MAP_METHOD, DIMENSIONS, COLOUR, SHOW = "Map", "Dimensions", "Colour", "Show"
MAP_ALT = "Map of hard prompts, prototypes and soft prompts, joined in pairs"
METHOD_HELP = "PCA is fast and preserves large distances. UMAP preserves neighbours."
CLASSES, CLASSES_HINT = "Classes", "Choose classes to draw"
FIND, FIND_HINT = "Find on the map", "Type a class or a group"
FIND_HELP = (
    "Marks the points of a class or a group, and fades the others. If the class is not on the map "
    "yet, it is added."
)
NOTHING_CHOSEN = "Choose at least one class and one kind of point to draw."
DRAW_AGAIN = "Draw it again"
KINDS = {"hard": "hard prompts", "prototype": "prototypes", "soft": "soft prompts"}

POINT_KINDS = {
    "hard": "hard prompt",
    "prototype": "prototype",
    "soft": "soft prompt",
    "typed": "your prompt",
}

# The key beside the map.
KEY = "**Key**"
HARD, PROTOTYPE = "hard prompt: a sentence", "prototype: mean of a group's hard prompts"
SOFT, TYPED = "soft prompt: learned", "your prompt"
LINE = "joins a soft prompt and its prototype"
BY_COLOUR = {"group": "Colour: the group", "class": "Colour: the class"}

# The chosen point.
POINT = "**Chosen point**"
NO_POINT = "Point at a mark to read its name. Click it to see images of its class here."
NO_IMAGES = "The test split has no images of this class here."
BEHIND = "Details of a point"
BEHIND_CAPTION = (
    "Click a point on the 2D map, or choose an expert and a class here. The box and the "
    "lasso in the toolbar above the map select several points."
)
EXPERT, CLASS = "Expert", "Class"
NO_TEST_IMAGES = "The test split has no images of this class."
WORDS_CAPTION = (
    "Take care with these words. A learned token lies between words, and even the nearest word "
    "can be far away. If the cosine is far below 1, the word says little about the token."
)

# Group by group.
GROUPS = "Soft against hard, group by group"
GROUPS_ONE = "Soft against hard, epoch by epoch"
GROUPS_ALT = "One map per group: its soft prompts against its hard prompts, over the epochs"
GROUPS_FLAT = "These maps are always flat, so they are drawn by PCA here."
PLAY, PAUSE = "▶ Play", "❚❚ Pause"


def no_prompts(method: str, how_it_answers: str) -> str:
    """Returns why a run has no soft prompts to show, and which runs have some."""
    return (
        f"{method} learns no soft prompts, so there is nothing to show here. {how_it_answers} "
        f"{OTHER_RUNS}"
    )


def at_point(class_name: str, number: int) -> str:
    """Returns what an image at the chosen point shows, for screen readers."""
    return f"{class_name} at the chosen point, {number}"


def moved(epoch: int) -> str:
    """Returns the title of the table of drift."""
    return f"**How far the prompts moved**, at epoch {epoch}"


def blocks_moved(epoch: int) -> str:
    """Returns the title of the figure on blocks."""
    return f"**How far the learned tokens of each block moved**, until epoch {epoch}"


def own_group(shares: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Returns sentences that explain the numbers "own group is nearest", as Markdown.

    Args:
        shares: expert → group → share of the classes for which the group is nearest, 0 to 1.
    """
    low = {expert: row for expert, row in shares.items() if row[expert] < 1}
    if not low:
        return [
            f"“{OWN_NEAREST.capitalize()}”: for every class, each soft prompt is still nearer to "
            "the hard prompts of its own group than to those of any other group. All experts kept "
            "their meaning."
        ]
    expert = min(low, key=lambda name: low[name][name])
    row = low[expert]
    other = max((name for name in row if name != expert), key=lambda name: row[name])
    this, nearest = escape_markdown(expert), escape_markdown(other)
    sentences = [
        f"“{OWN_NEAREST.capitalize()}”: for {100 * row[expert]:.0f} % of the classes, the soft "
        f"prompt of *{this}* is nearer to the hard prompts of its own group than to those of "
        "any other. "
        f"For {100 * row[other]:.0f} % it is now nearest to *{nearest}*."
    ]
    if row[expert] < 0.5:
        sentences.append(f"So *{this}* says little about what this expert does now.")
    kept = len(shares) - len(low)
    if kept:
        sentences.append(f"{kept} of {len(shares)} experts have 100 %.")
    return sentences


def classes(count: int) -> str:
    """Returns a number of classes in words."""
    return "one class" if count == 1 else f"{count} classes"


def selected(points: int, class_count: int) -> str:
    """Returns the line above the table of selected points."""
    return f"**{points} points selected**, in {classes(class_count)}"


def fitting(seconds: float) -> str:
    """Returns the line that is shown while UMAP runs."""
    return (
        f"UMAP is computing this map in the background ({seconds:.0f} s so far). It takes up "
        "to a minute the first time, and is then saved. Until then you see PCA."
    )


def trust(values: Mapping[str, float]) -> str:
    """Returns how reliable the map is.

    Args:
        values: kind → trustworthiness, 0 to 1.
    """
    parts = [
        f"{KINDS[kind]} **{values[kind]:.2f}**" for kind in ("hard", "soft") if kind in values
    ]
    line = "Trustworthiness (1 is best): " + " · ".join(parts) + ". " if parts else ""
    return (
        f"{line}You can rely on which points are neighbours. Distances between clusters say "
        "little."
    )


def trust_help(counts: Mapping[str, int]) -> str:
    """Returns what the map was fitted on, and what trustworthiness is.

    Args:
        counts: kind → number of points.
    """
    fitted = ", ".join(f"{number} {KINDS[kind]}" for kind, number in counts.items())
    return (
        f"One joint fit on {fitted} (all saved epochs). Trustworthiness measures how far "
        "neighbours on the map are also neighbours among the original features."
    )


def sampled(count: int, seed: int) -> str:
    """Returns that the map leaves out classes."""
    return (
        f"There are too many points for one map, so it shows {count} random classes (seed {seed})."
    )


def found(what: str, count: int) -> str:
    """Returns what the search marked on the map, as Markdown."""
    points = "one soft prompt" if count == 1 else f"{count} soft prompts"
    return f"Marked: **{escape_markdown(what)}**, {points} in rings. The other points are faded."


def more_colours(shown: int, total: int, colours: int) -> str:
    """Returns what the key leaves out, and that colours repeat."""
    parts = []
    if total > shown:
        parts.append(f"and {total - shown} more")
    if total > colours:
        parts.append(f"colours repeat after {colours}")
    return ", ".join(parts)


def point(kind: str, group: str, class_name: str) -> str:
    """Returns the name of the chosen point."""
    return " · ".join(part for part in (class_name, group, kind) if part)


def go_to(routed: int, of_class: int, class_name: str, expert: str) -> str:
    """Returns how many test images of a class go to an expert, as Markdown."""
    name, to = escape_markdown(class_name), escape_markdown(expert)
    return f"**{routed} of {of_class}** test images of *{name}* go to *{to}*"


def first_choice(others: Sequence[tuple[str, int]]) -> str:
    """Returns which experts the images of a class go to instead, or that there are none."""
    text = ", ".join(f"{escape_markdown(name)} ({count})" for name, count in others)
    return f"The first choice for these images is {text}." if text else NO_TEST_IMAGES


def test_images(count: int, class_name: str) -> str:
    """Returns how many test images a class has, as Markdown."""
    return f"**{count}** test images of *{escape_markdown(class_name)}*"


def only_first(count: int) -> str:
    """Returns that not all images are shown."""
    return f"Only the first {count} are shown; the Routing page shows all."


def near_words(for_class: bool) -> str:
    """Returns the title of the table of words near the learned tokens."""
    of_class = " for this class" if for_class else ""
    return f"**Nearest words of its learned tokens{of_class}**, after training"


def groups_caption(epochs: Sequence[int], several: bool) -> str:
    """Returns how to read the maps of the groups.

    Args:
        epochs: the saved epochs.
        several: whether there are several groups.
    """
    text = "The axes are the same as in the map above."
    if several:
        text = f"Each map shows one group in colour and the other groups in grey. {text}"
    if len(epochs) < 2:
        return f"{text} This run saved only one epoch, so there is no path to show."
    return (
        f"{text} An arrow shows the path of a soft prompt from epoch {epochs[0]} to the epoch "
        "shown. *Play* goes through the saved epochs. With the keyboard, use the slider *Epoch* "
        "at the top."
    )


def typed_nearest(template: str, group: str, cosine: float) -> str:
    """Returns which group a typed prompt is nearest to."""
    return f"✖ “{template}” is nearest to {group} (mean cosine {cosine:.3f})."


TYPED_BOX = "Put your own prompt on the map"
TYPED_UMAP = (
    "UMAP cannot place new points exactly: your prompt stands between the points that "
    "are nearest to it. PCA places it exactly."
)
TYPED_GROUPS = "Which groups is it near?"
MEAN_COSINE, NEAREST_FOR, OF_CLASSES = "mean cosine", "nearest for", "%.0f %% of classes"
COSINE = "cosine"

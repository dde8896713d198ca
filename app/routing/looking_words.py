"""The texts of the Routing page about where the image tower looks and what an answer needs."""

from __future__ import annotations

from app.common.words import escape_markdown

_END = "<extra></extra>"  # without a box for the name of the trace

# Attention.
WHERE = "Where the image tower looks"
WHERE_CAPTION = (
    "Attention tells which patches the tower reads, not which ones the answer needs: the part "
    "below measures that."
)
HOW = "How the attention is taken"
BLOCK, ROLLOUT = "one block", "all blocks"
HOW_HELP = (
    "*One block*: the attention in this block, mean over its heads. *All blocks*: attention "
    "rollout (Abnar and Zuidema, 2020): each token is half itself and half what it attends to, "
    "and this is followed through all blocks."
)
WHICH_BLOCK = "Block (the last one is nearest to the answer)"
LOOKER = "The tower of expert"
LOOKER_HELP = (
    "In this run each expert has learned tokens of its own in the last blocks of the image tower, "
    "so the same picture is seen differently for each of them."
)
WHOSE = "Who looks"
ALL_LEARNED = "all learned tokens"
CLS, PATCHES = "[CLS]", "all patches"
KEYS_ONLY = (
    "This run's learned tokens are only keys and values: the other tokens look at them, but they "
    "look at nothing themselves."
)
PASSED_ON = (
    "In this block the learned tokens have no values of their own: they are what the blocks "
    "before made of them."
)
ATTENTION_HOVER = f"patch in row %{{customdata[0]}}, column %{{customdata[1]}}: %{{z:.2f}} %{_END}"
LOOKING = "Following the attention …"
ROW, COLUMN = "row", "column"
OF_ATTENTION = "attention, %"

# Covering.
MATTERS = "Which part of the picture the answer needs"
COVERING = "Covering one place after another …"
SHOW = "Show"
DIFFER, ANSWER = "where two experts differ", "what the answer needs"
FIRST, SECOND = "Expert A", "Expert B"
SAME_EXPERT = "Choose two different experts."
SQUARE = "Size of the square"
SQUARES = {"small": 0.125, "medium": 0.25, "large": 0.5}
"""Name of a size → the square's side, as a share of the picture's."""
SQUARE_HELP = (
    "A larger square hides whole objects, a smaller one only their parts. Its centre goes to "
    "8 × 8 places (Zeiler and Fergus, 2013)."
)
CHANGE_LOGIT = "change of A's logit minus B's"
CHANGE_PROBABILITY = "loss of probability, points"
DIFFER_HOVER = f"covered here: A − B changes by %{{customdata:+.2f}}{_END}"
ANSWER_HOVER = f"covered here: %{{customdata:+.1f}} points{_END}"
NOTHING_MOVES = "A square of this size changes nothing here, wherever it is."
LEAST_LOGIT, LEAST_POINTS = 0.005, 0.05  # what would be shown as zero

_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")


def no_attention(reason: str) -> str:
    """Returns why no attention can be shown, and what can be seen instead."""
    return f"{reason} The part below works for every image tower."


def place(row: int, column: int, rows: int, columns: int) -> str:
    """Returns where a cell of a grid is: "top left", "middle" and the like."""
    names = _ROWS[3 * row // rows], _COLUMNS[3 * column // columns]
    return "middle" if names == ("middle", "middle") else " ".join(names)


def reader(reads_cls: bool) -> str:
    """Returns what the image feature is read from, the first choice of who looks."""
    return CLS if reads_cls else PATCHES


def token(number: int) -> str:
    """Returns the name of a learned token; the first one has number 1."""
    return f"learned token {number}"


def attention_told(
    shares: tuple[float, float, float], where: str, most: float, even: float
) -> str:
    """Returns where the attention goes, as Markdown.

    Args:
        shares: of the patches, of [CLS] and of learned tokens, together 1.
        where: the place of the patch with most of it.
        most: this patch's share of all attention.
        even: the share that each patch would have if all of them had the same.
    """
    patches, cls, learned = shares
    others = f"{cls:.0%} on [CLS]" + (f", {learned:.0%} on learned tokens" if learned else "")
    times = most / even if even else 1.0
    return (
        f"**{patches:.0%}** of this attention is on the picture, {others}. It is strongest at the "
        f"**{where}**: one patch has {most:.1%}, {times:.1f} times what it would have if all "
        "patches had the same."
    )


def attention_alt(whose: str, where: str) -> str:
    """Returns what the map of attention shows, for screen readers."""
    return f"The picture with the attention of {whose} over it; it is strongest at the {where}"


def chosen(expert: str) -> str:
    """Returns what a box for an expert says if none is chosen."""
    return f"{expert} (chosen by the router)"


def experts_say(name: str) -> str:
    """Returns what stands before two experts' probabilities of a class, as Markdown."""
    return f"The prediction is **{escape_markdown(name)}**. Alone, the two experts give it:"


def differ_told(name: str, experts: tuple[str, str], change: float, where: str) -> str:
    """Returns which place moves two experts apart the most, as Markdown.

    Args:
        name: the predicted class.
        experts: names of A and B.
        change: by how much A's logit minus B's falls if the place is covered.
        where: the place.
    """
    more, less = map(escape_markdown, map(repr, experts if change > 0 else experts[::-1]))
    fall = f"{-change:+.2f}".replace("-", "−")
    return (
        f"The **{where}** makes them differ most: what is there speaks for "
        f"{escape_markdown(name)} more with {more} than with {less} (covered, A − B changes by "
        f"{fall} in logits). Each place has the colour of the expert for which it speaks."
    )


def differ_alt(experts: tuple[str, str], where: str) -> str:
    """Returns what the map of two experts shows, for screen readers."""
    return (
        f"The picture with the places over it that make the experts {experts[0]} and {experts[1]} "
        f"differ; most at the {where}"
    )


def answer_told(name: str, probability: float, change: float, where: str) -> str:
    """Returns which place changes the predicted class's probability the most, as Markdown.

    Args:
        name: the predicted class.
        probability: its probability for the whole picture.
        change: the loss of probability if the place is covered, from -1 to 1.
        where: the place.
    """
    name = escape_markdown(name)
    return (
        f"The prediction is **{name}** with {probability:.0%}. With the **{where}** covered it is "
        f"{max(0.0, probability - change):.0%}. Blue places speak for {name}, red ones against it."
    )


def answer_alt(name: str, where: str) -> str:
    """Returns what the map of one answer shows, for screen readers."""
    return f"The picture with the places over it that {name} depends on; most at the {where}"

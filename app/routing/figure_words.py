"""The texts of the Routing page's figures: axes, and what is shown at the pointer.

In hover texts, %{x} and %{y} stand for a point's values; Plotly puts them in.
"""

from __future__ import annotations

_END = "<extra></extra>"  # without a box for the name of the trace

# Experts.
PERCENT_OF_IMAGES = "% of images"
FIRST_CHOICE, ALSO_CHOSEN = "first choice", "also chosen"
FIRST_CHOICE_HOVER = f"%{{x}}: first choice for %{{y:.1f}} % of the images{_END}"
ALSO_CHOSEN_HOVER = f"%{{x}}: chosen for %{{customdata:.1f}} % of the images{_END}"
PREFERENCE = "router's preference, %"
PREFERENCE_MOVED = "router's preference, % (grey: before)"
PREFERENCE_HOVER = f"%{{y}}: %{{x:.1f}} % (raw score %{{customdata:.2f}}){_END}"
BEFORE, NOW = "before", "now"
BEFORE_HOVER = f"%{{y}}, before: %{{x:.1f}} %{_END}"
NOW_HOVER = f"%{{y}}, now: %{{x:.1f}} %{_END}"
TARGET = "first in the routing target, % of images (grey: before)"

# Classes.
PROBABILITY = "probability, %"
PERCENT_HOVER = f"%{{y}}: %{{x:.1f}} %{_END}"
TRUE_CLASS, PREDICTED_CLASS = "true class", "predicted class"
CONFUSION_HOVER = f"%{{y}} predicted as %{{x}}: %{{z}} images{_END}"
IMAGES = "images"
MISTAKES_HOVER = f"%{{y}}: %{{x}} images{_END}"
PERCENT_RIGHT = "% right"
ACCURACY_HOVER = f"%{{x}}: %{{y:.0f}} % of %{{customdata[0]}} images<br>%{{customdata[1]}}{_END}"

# Ways to choose experts.
ACCURACY = "accuracy on the test images, %"
VALUE_HOVER = f"%{{y}}: %{{x:.1f}} %<br>%{{customdata}}{_END}"


def weight(share: float) -> str:
    """Returns the text beside a bar: the weight of an expert; empty if it was not chosen."""
    return f"weight {share:.0%}" if share > 0 else ""


def count_hover(of: str) -> str:
    """Returns what a cell of a count of images says; `of` is "style" or "class"."""
    return f"%{{y}} · {of} %{{x}}: %{{z}} images{_END}"


def bar_hover(called: str) -> str:
    """Returns what one of several bars beside each other says; `called` is its name."""
    return f"%{{y}}, {called}: %{{x:.1f}} %{_END}"

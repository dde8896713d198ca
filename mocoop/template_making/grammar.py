"""Several hundred templates without any model: a small grammar over the same factors."""

from __future__ import annotations

from collections.abc import Iterable

from mocoop.template_making.candidates import Candidate
from mocoop.templates import SLOT

_MEDIA = (
    "photo", "snapshot", "sketch", "pencil drawing", "line drawing", "charcoal drawing",
    "child's drawing", "painting", "oil painting", "watercolor painting", "cartoon", "comic",
    "poster", "rendering", "3d model", "sculpture", "relief", "embossed picture", "plush toy",
    "plastic toy", "mosaic", "embroidery", "tattoo", "graffiti", "silhouette", "diagram", "icon",
    "stamp", "black and white photo", "negative", "video frame",
)  # fmt: skip
_QUALITIES = (
    "good", "bad", "clear", "sharp", "blurry", "unfocused", "grainy", "noisy", "pixelated",
    "low resolution", "high resolution", "jpeg corrupted", "dark", "dim", "bright",
    "overexposed", "faded", "low contrast", "high contrast", "colorful", "grey", "hazy", "old",
    "retouched", "tilted",
)  # fmt: skip
_VIEWS = (
    "close-up photo", "macro photo", "cropped photo", "centered photo", "wide shot",
    "distant shot", "aerial photo", "satellite photo", "side view", "front view", "rear view",
    "top view", "view from below", "microscope image",
)  # fmt: skip
_POSITIONS = (
    "on the left", "on the right", "in the center", "in a corner", "in the background",
    "in the foreground", "from above", "from below", "from behind", "from the side",
    "from far away", "cut off at the edge",
)  # fmt: skip
_NUMBERS = (
    "one", "a single", "two", "a pair of", "three", "several", "many", "countless", "a row of",
    "a pile of", "a group of", "a collection of", "a pattern of", "rows of", "overlapping",
)  # fmt: skip
_SURROUNDINGS = (
    "indoors", "outdoors", "at night", "at sunset", "in the snow", "in the rain", "in the fog",
    "in bright sunlight", "in the shade", "under water", "in a forest", "in a field",
    "in a city", "on a street", "on a table", "on a wall", "on a white background",
    "on a dark background", "on a colorful background", "in a frame", "in a box", "in a hand",
    "behind glass", "behind a fence", "next to a person", "among other things",
)  # fmt: skip
_STATES = (
    "large", "big", "small", "tiny", "new", "old", "clean", "dirty", "broken", "worn", "wet",
    "dusty", "shiny", "wooden", "metal", "plastic", "glass", "striped", "colorful", "plain",
    "painted", "framed", "partly hidden", "hard to see", "moving", "young", "typical", "unusual",
    "nice", "cool",
)  # fmt: skip
_KINDS = (
    "object", "animal", "plant", "flower", "food", "fruit", "vehicle", "building", "tool",
    "machine", "toy", "garment", "instrument", "scene", "place", "landscape", "texture",
    "material", "pattern", "symbol", "sign", "character", "product", "activity",
)  # fmt: skip
_LONGEST_PHRASE = 6  # words of a description that still is a phrase in a template


def grammar_templates(about: str = "") -> tuple[Candidate, ...]:
    """Returns several hundred candidates in a fixed order, each with its factor.

    Args:
        about: what the data set shows; a short one, such as "a type of pet", becomes a template.
    """
    of = (f"of a {SLOT}", f"of the {SLOT}")
    return (
        *_all("medium", (f"{_a(noun)} {end}." for noun in _MEDIA for end in of)),
        *_all("quality", (f"{_a(word)} photo {end}." for word in _QUALITIES for end in of)),
        *_all("viewpoint", (f"{_a(noun)} {end}." for noun in _VIEWS for end in of)),
        *_all("viewpoint", (f"a photo {of[0]} {where}." for where in _POSITIONS)),
        *_all("number", (f"a photo of {number} {SLOT}." for number in _NUMBERS)),
        *_all("number", (f"a drawing of {number} {SLOT}." for number in _NUMBERS)),
        *_all("context", (f"a photo {e} {where}." for where in _SURROUNDINGS for e in of)),
        *_all("state", (f"a photo of {_a(word)} {SLOT}." for word in _STATES)),
        *_all("state", (f"a photo of the {word} {SLOT}." for word in _STATES)),
        *_all("domain", (f"a photo {of[0]}, a type of {kind}." for kind in _KINDS)),
        *_all("domain", (f"a photo of a person doing {SLOT}.", f"a close-up of {SLOT} texture.")),
        *_all("domain", _phrase(about)),
    )


def grammar_words() -> frozenset[str]:
    """Returns the words of all templates of the grammar, by which English is known."""
    words = {
        word.strip(".,")
        for candidate in grammar_templates()
        for word in candidate.template.split()
    }
    return frozenset(words - {SLOT})


def _phrase(about: str) -> list[str]:
    """Returns a template with a short description; none for a long one or without any."""
    words = about.strip().rstrip(".").lower().split()
    if not 0 < len(words) <= _LONGEST_PHRASE:
        return []
    return [f"a photo of a {SLOT}, {' '.join(words)}."]


def _all(factor: str, templates: Iterable[str]) -> list[Candidate]:
    return [Candidate(template, factor) for template in templates]


def _a(words: str) -> str:
    """Returns words with their article: `a photo`, `an old photo`."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

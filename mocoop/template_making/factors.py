"""The factors of a template: in which ways images of one class differ from each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Factor:
    """One way in which images differ, whatever class they show."""

    key: str
    """Its name in files and messages."""
    asks: str
    """What a chat model is asked about it."""
    example: str
    """A template that fits it."""


FACTORS = (
    Factor(
        "medium",
        "the medium of the image, such as a photo, a sketch, a painting or a rendering",
        "a sketch of a {}.",
    ),
    Factor(
        "quality",
        "the quality of the image, such as blurry, low resolution, dark or full of noise",
        "a blurry photo of a {}.",
    ),
    Factor(
        "viewpoint",
        "the viewpoint and the scale, such as a close-up, an aerial view or a cropped image",
        "a close-up photo of the {}.",
    ),
    Factor(
        "number",
        "how many are in the image, such as one, a pair or many",
        "a photo of many {}.",
    ),
    Factor(
        "context",
        "the surroundings, such as indoors, in the snow or on a white background",
        "a photo of a {} in the snow.",
    ),
    Factor(
        "state",
        "the state or look of what is shown, such as dirty, new, broken or small",
        "a photo of a dirty {}.",
    ),
    Factor(
        "domain",
        "the kind of thing that all classes are, in the words of the data set's field",
        "a photo of a {}, a type of food.",
    ),
)
OWN = "own"  # the factor of templates that a user gave

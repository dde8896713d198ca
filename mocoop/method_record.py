"""What is known of a method, as one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Settings = Mapping[str, Any]
"""Fields of `TrainConfig` by name."""
Family = Literal["Mixture", "One prompt", "No learnt prompt"]
MIXTURE: Family = "Mixture"
ONE_PROMPT: Family = "One prompt"
NO_PROMPT: Family = "No learnt prompt"
FAMILIES = (MIXTURE, ONE_PROMPT, NO_PROMPT)
"""In the order of menus."""

Kind = Literal["prompts", "templates", "linear probe", "image cache"]
PROMPTS: Kind = "prompts"
"""Text features of the prompt model, also untrained."""
TEMPLATES: Kind = "templates"
"""Text features that are the mean of all hard templates."""
LINEAR_PROBE: Kind = "linear probe"
"""A linear layer on image features."""
IMAGE_CACHE: Kind = "image cache"
"""The plain prompt, and a cache of the training images' features."""

Learns = Literal["nothing", "at once", "in epochs"]
Knows = Literal["any class", "classes of its data set", "trained classes"]


@dataclass(frozen=True)
class Paper:
    """A paper that introduced a method or printed its numbers."""

    title: str
    arxiv: str
    """Number on arXiv, as in https://arxiv.org/abs/2109.01134."""

    @property
    def url(self) -> str:
        """Its page on arXiv."""
        return f"https://arxiv.org/abs/{self.arxiv}"


@dataclass(frozen=True)
class Recipe:
    """Settings of a training, and where they come from."""

    settings: Settings = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Method:
    """A method: how it is called, what it changes in the settings, what it needs and learns.

    Everything that the code does differently for a method is one of these fields.
    """

    key: str
    """As in settings, options, tables and the names of runs: `tip-adapter-f`."""
    label: str
    """As people write it: Tip-Adapter-F."""
    family: Family
    summary: str
    """What it does, in one sentence."""
    use: str
    """What it is good for, in one sentence."""
    paper: Paper | None
    colour: str
    """In figures, as #rrggbb; related methods have the same hue."""
    settings: Settings
    """What differs from the defaults of `TrainConfig`, whatever the CLIP."""
    demo: Settings = field(default_factory=dict)
    """The recipe for the built-in CLIP, chosen with `mocoop tune` on validation images."""
    published: Recipe = Recipe()
    """The recipe for all other CLIPs."""

    classifier: Kind = PROMPTS
    """What turns image features into scores of classes."""
    learns: Learns = "in epochs"
    needs_images: bool = True
    """Looks at training images; without, one run stands for all seeds and shots."""
    needs_validation: bool = False
    """Cannot do without validation images."""
    chooses: str = ""
    """What it chooses on validation images, in words; empty for a method that chooses nothing."""
    knows: Knows = "any class"
    """Which classes a finished run can tell apart, given their names."""
    answers: str = "Every image is compared with the same text features."
    """How it answers without a router, in one sentence."""
    starts_from: str = ""
    """What it starts from, in words, where no setting says so; `{template}`: the plain prompt."""
    seconds_per_image: float = 0.0
    """Time of fitting one training image on a CPU core with the built-in CLIP, where a method is
    fitted on image features."""

    @property
    def is_mixture(self) -> bool:
        """An expert per semantic group of templates, and a router."""
        return self.family == MIXTURE

    @property
    def learns_prompts(self) -> bool:
        """Soft prompts, which can be looked at."""
        return self.family != NO_PROMPT

    @property
    def learns_in_epochs(self) -> bool:
        """Trained in epochs, however many; all others have 0."""
        return self.learns == "in epochs"

    @property
    def fits_image_features(self) -> bool:
        """Fitted on cached image features, without soft prompts or text features of its own."""
        return self.classifier in (LINEAR_PROBE, IMAGE_CACHE)

    @property
    def is_plain_prompt(self) -> bool:
        """The untrained prompt itself, with which all others are compared."""
        return self.classifier == PROMPTS and self.learns == "nothing"

    @property
    def own_classes_only(self) -> bool:
        """Cannot leave the data set that it was trained on."""
        return self.knows != "any class"

    @property
    def trained_classes_only(self) -> bool:
        """Says nothing of classes without training images, not even in its own data set."""
        return self.knows == "trained classes"

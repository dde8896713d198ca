"""The record of a method: its name, settings, needs and classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Settings = Mapping[str, Any]
"""Fields of `TrainConfig` by name."""
Family = Literal["Mixture", "One prompt", "Both towers", "No learned prompt"]
MIXTURE: Family = "Mixture"
ONE_PROMPT: Family = "One prompt"
BOTH_TOWERS: Family = "Both towers"
NO_PROMPT: Family = "No learned prompt"
FAMILIES = (MIXTURE, ONE_PROMPT, BOTH_TOWERS, NO_PROMPT)
"""In the order of menus."""

Kind = Literal[
    "prompts",
    "templates",
    "linear probe",
    "image cache",
    "task residual",
    "feature adapter",
    "blended probe",
]
PROMPTS: Kind = "prompts"
"""Text features of the prompt model, trained or untrained."""
TEMPLATES: Kind = "templates"
"""Text features that are the mean over all hard templates."""
LINEAR_PROBE: Kind = "linear probe"
"""A linear layer on image features."""
IMAGE_CACHE: Kind = "image cache"
"""The plain prompt, and a cache of the training images' features."""
TASK_RESIDUAL: Kind = "task residual"
"""The plain prompt's text features plus a learned vector per class."""
FEATURE_ADAPTER: Kind = "feature adapter"
"""The plain prompt, and a small network that changes the image features."""
BLENDED_PROBE: Kind = "blended probe"
"""A linear layer on image features, plus the plain prompt with a learned weight per class."""

Learns = Literal["nothing", "at once", "in epochs"]
Knows = Literal["any class", "classes of its data set", "trained classes"]


@dataclass(frozen=True)
class Paper:
    """A paper that introduced a method or printed its numbers."""

    title: str
    arxiv: str
    """The number on arXiv, as in https://arxiv.org/abs/2109.01134."""

    @property
    def url(self) -> str:
        """The address of its page on arXiv."""
        return f"https://arxiv.org/abs/{self.arxiv}"


@dataclass(frozen=True)
class Recipe:
    """Settings of a training, and their source."""

    settings: Settings = field(default_factory=dict)
    source: str = ""
    by_data: Mapping[str, Settings] = field(default_factory=dict)
    """Data set → settings that differ there."""

    def of(self, data: str) -> dict[str, Any]:
        """Returns the settings for a data set."""
        return {**self.settings, **self.by_data.get(data, {})}


@dataclass(frozen=True)
class FewShotRecipe:
    """Settings that replace some of a recipe in the few-shot protocol, for all but the demo CLIP.

    The number of epochs depends on the number of training images per class.
    """

    settings: Settings
    epochs: Mapping[int, int]
    """Shots → epochs; for another number of shots, those of the next larger one, or the last."""
    fixed: Mapping[str, int]
    """Data set → epochs, whatever the shots are."""
    source: str
    by_data: Mapping[str, Settings] = field(default_factory=dict)
    """Data set → settings that differ there."""

    def for_run(self, data: str, shots: int) -> dict[str, Any]:
        """Returns the settings of a run.

        Args:
            data: the data set's name.
            shots: training images per class; `ALL_SHOTS` has as many epochs as the most shots.
        """
        larger = [count for count in sorted(self.epochs) if count >= shots > 0]
        usual = self.epochs[larger[0] if larger else max(self.epochs)]
        own = self.by_data.get(data, {})
        return {**self.settings, "epochs": self.fixed.get(data, usual), **own}


@dataclass(frozen=True)
class Method:
    """A method: its names, its settings, what it needs and what it learns.

    These fields hold everything that the code does differently for a method.
    """

    key: str
    """The name in settings, options, tables and names of runs: `tip-adapter-f`."""
    label: str
    """The name in texts: Tip-Adapter-F."""
    family: Family
    summary: str
    """What it does, in one sentence."""
    use: str
    """What it is good for, in one sentence."""
    paper: Paper | None
    colour: str
    """The colour in figures, as #rrggbb; related methods have the same hue."""
    settings: Settings
    """The settings that differ from the defaults of `TrainConfig`, for every CLIP."""
    demo: Settings = field(default_factory=dict)
    """The recipe for the built-in CLIP, chosen with `mocoop tune` on validation images."""
    published: Recipe = Recipe()
    """The recipe for all other CLIPs."""
    few_shot: FewShotRecipe | None = None
    """What the published recipe changes in the few-shot protocol; None if nothing."""

    classifier: Kind = PROMPTS
    """How the method computes class scores from image features."""
    learns: Learns = "in epochs"
    """Whether it learns nothing, is fitted at once, or is trained in epochs."""
    needs_images: bool = True
    """Whether it uses training images; if not, one run counts for all seeds and shots."""
    needs_validation: bool = False
    """Whether it needs validation images."""
    chooses: str = ""
    """What it chooses on validation images, in words; empty if it chooses nothing."""
    knows: Knows = "any class"
    """The classes that a finished run can predict, given their names."""
    answers: str = "Every image is compared with the same text features."
    """How it classifies an image without a router, in one sentence."""
    starts_from: str = ""
    """The starting point in words, if the settings do not say it; `{template}` is the plain
    prompt."""
    fitted_with: tuple[str, ...] = ()
    """For methods that are fitted on image features: the settings of `TrainConfig` that they use,
    besides those of a training in epochs."""
    seconds_per_image: float = 0.0
    """For methods that are fitted on image features: time per training image on a CPU core, with
    the built-in CLIP."""

    @property
    def is_mixture(self) -> bool:
        """Whether it has an expert per semantic group of templates, and a router."""
        return self.family == MIXTURE

    @property
    def learns_prompts(self) -> bool:
        """Whether it learns soft prompts."""
        return self.family != NO_PROMPT

    @property
    def learns_in_epochs(self) -> bool:
        """Whether it is trained in epochs; all other methods have `epochs` 0."""
        return self.learns == "in epochs"

    @property
    def reports_epochs(self) -> bool:
        """Whether a training says after every epoch how it goes."""
        return self.learns_in_epochs and self.classifier != IMAGE_CACHE

    @property
    def fits_image_features(self) -> bool:
        """Whether it is fitted on cached image features, without soft prompts."""
        return self.classifier not in (PROMPTS, TEMPLATES)

    @property
    def is_plain_prompt(self) -> bool:
        """Whether it is the untrained prompt, with which all others are compared."""
        return self.classifier == PROMPTS and self.learns == "nothing"

    @property
    def own_classes_only(self) -> bool:
        """Whether it can predict only classes of the data set on which it was trained."""
        return self.knows != "any class"

    @property
    def trained_classes_only(self) -> bool:
        """Whether it can predict only classes with training images."""
        return self.knows == "trained classes"

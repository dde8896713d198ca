"""The story on Home: which picture tells it, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from app.home import words
from app.home.pipeline import PipelineView
from mocoop.datasets.base import Item
from mocoop.datasets.builtin import SceneItem
from mocoop.errors import UserError
from mocoop.method_record import ONE_PROMPT
from mocoop.methods import METHODS
from mocoop.runs.run import Run, RunSetup

MOST_TRIED = 96  # pictures that are looked at before there is no story
_HARD_TO_SEE = ("dark",)  # styles


@dataclass(frozen=True)
class Answer:
    """What one method says about the picture."""

    method: str
    predicted: str
    """The most probable class."""
    probability: float
    """Of that class, 0 to 1."""
    accuracy: float | None
    """Of the method on all test images, in percent; None where it is unknown."""


@dataclass(frozen=True)
class Told:
    """One picture and what zero-shot, one learned prompt and a mixture say about it."""

    item: SceneItem
    truth: str
    image: bytes = field(repr=False)
    """The image as PNG."""
    answers: tuple[Answer, Answer, Answer]
    """Of zero-shot, the single learned prompt, the mixture."""
    chosen: tuple[tuple[str, float], ...]
    """The experts that the mixture chose, with their weights."""
    view: PipelineView = field(repr=False)
    """The picture's way through the mixture, to be drawn without the picture."""

    @property
    def is_story(self) -> bool:
        """Whether only the mixture is right."""
        return only_last_is_right([answer.predicted for answer in self.answers], self.truth)


def story_pair(
    chosen: Run, runs: Iterable[Run], setup_of: Callable[[Run], RunSetup]
) -> Run | None:
    """Returns the shipped run of one learned prompt to tell beside a mixture, shipped or not.

    None if the chosen run is no mixture, or has no such partner with the same CLIP, data set,
    training images per class and classes.

    Args:
        chosen: the run that Home shows.
        runs: the finished runs.
        setup_of: returns the setup of a run.
    """
    own = setup_of(chosen)
    if len(own.experts) == 1 or own.knows_trained_only:
        return None
    for run in runs:
        if not run.shipped:
            continue
        with suppress(UserError):  # it is damaged: there is no story then
            other = setup_of(run)
            single = METHODS[other.config.method].family == ONE_PROMPT
            if single and _alike(other) == _alike(own):
                return run
    return None


def _alike(setup: RunSetup) -> tuple[object, ...]:
    config = setup.config
    return setup.class_names, config.data, config.backbone, config.shots, config.classes


def choose_picture(
    items: Sequence[Item], says: Callable[[Item], Sequence[str]], names: Sequence[str]
) -> Item | None:
    """Returns the first picture that only the last of some methods gets right.

    Best is one in which the others name another thing of the picture; it is preferred. Pictures
    that people cannot see well are passed over, and so are those of which it is not known what
    counts in them. None if there is no such picture among the first `MOST_TRIED`.

    Args:
        items: the pictures in order.
        says: returns the class that each method predicts for a picture.
        names: class names in label order.
    """
    first = None
    for item in [item for item in items if is_clear(item)][:MOST_TRIED]:
        predicted = says(item)
        if only_last_is_right(predicted, names[item.label]):
            if isinstance(item, SceneItem) and {*predicted} <= {name for _, name in item.things}:
                return item
            first = first or item
    return first


def is_clear(item: Item) -> bool:
    """Returns whether people see well what is in a picture, and what counts in it is known."""
    return isinstance(item, SceneItem) and item.role != "" and item.style not in _HARD_TO_SEE


def only_last_is_right(predicted: Sequence[str], truth: str) -> bool:
    """Returns whether the last of some predictions is the true class and no other one is."""
    return predicted[-1] == truth and truth not in predicted[:-1]


def why_in_words(told: Told) -> str:
    """Returns what counts in a picture, and which experts the router chose, as Markdown."""
    return words.why(told.item.style, told.item.role, told.truth, told.chosen)


def named_in_words(item: SceneItem, predicted: str) -> str:
    """Returns what part a predicted class plays in a picture: 'names the large thing'."""
    for role, name in item.things:
        if name == predicted:
            return words.names_part(role)
    return words.NOT_THERE

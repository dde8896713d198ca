"""Several methods on the same test images: which can be compared, and their answers lined up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mocoop.datasets.base import Item
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import RoutedItems
from mocoop.evaluation.paired import PairTest, pair_test
from mocoop.runs.run import RunSetup


@dataclass(frozen=True)
class Answers:
    """What one method says about test images; small enough to keep for many methods."""

    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    """The classes that could be predicted."""
    labels: NDArray[np.int64] = field(repr=False)
    """(images,), indices into `class_names`, like `predicted`."""
    predicted: NDArray[np.int64] = field(repr=False)
    probability: NDArray[np.float64] = field(repr=False)
    """(images,), 0 to 1, of the predicted class."""

    @classmethod
    def of(cls, tested: RoutedItems) -> Answers:
        """Returns the answers of classified images."""
        best = tested.routed.probabilities.max(dim=-1)
        return cls(
            tested.items,
            tested.routed.class_names,
            tested.labels.numpy().astype(np.int64),
            best.indices.numpy().astype(np.int64),
            best.values.double().numpy(),
        )


@dataclass(frozen=True)
class SideBySide:
    """The answers of several methods to the same images, in the same order."""

    names: tuple[str, ...]
    """Of the methods."""
    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    labels: NDArray[np.int64] = field(repr=False)  # (images,)
    predicted: NDArray[np.int64] = field(repr=False)  # (methods, images)
    probability: NDArray[np.float64] = field(repr=False)  # (methods, images)
    left_out: int = 0
    """Images that not all methods were tested on."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each method is right, (methods, images)."""
        return self.predicted == self.labels

    @property
    def disagree(self) -> NDArray[np.bool_]:
        """Whether not all methods say the same, (images,)."""
        return (self.predicted != self.predicted[0]).any(axis=0)

    def pair(self, first: int, second: int) -> PairTest:
        """Returns the test of one method against another."""
        return pair_test(self.right[first], self.right[second])

    def won(self, first: int, second: int) -> NDArray[np.intp]:
        """Returns the indices of the images on which only the first of two methods is right."""
        return np.flatnonzero(self.right[first] & ~self.right[second])


def line_up(answers: Mapping[str, Answers]) -> SideBySide:
    """Returns the answers of several methods to the images that all of them were tested on.

    Images are matched by their ids, whatever their order; the order of the first method stays.

    Args:
        answers: name of a method → its answers.

    Raises:
        UserError: for fewer than two methods, for other classes, or without a common image.
    """
    if len(answers) < 2:
        raise UserError(f"Expected two methods or more to compare, got {len(answers)}.")
    names, parts = tuple(answers), list(answers.values())
    first = parts[0]
    for name, part in answers.items():
        if part.class_names != first.class_names:
            raise UserError(
                f"{names[0]} was tested on {len(first.class_names)} classes and {name} on "
                f"{len(part.class_names)} others. Compare runs with the same test classes."
            )
    places = [{item.id: place for place, item in enumerate(part.items)} for part in parts]
    common = [item for item in first.items if all(item.id in place for place in places)]
    if not common:
        raise UserError(f"There is no image on which all of {', '.join(names)} were tested.")
    order = [np.array([place[item.id] for item in common]) for place in places]
    every = set().union(*places)
    pairs = list(zip(parts, order, strict=True))
    return SideBySide(
        names,
        tuple(common),
        first.class_names,
        first.labels[order[0]],
        np.stack([part.predicted[rows] for part, rows in pairs]),
        np.stack([part.probability[rows] for part, rows in pairs]),
        len(every) - len(common),
    )


def comparable(setups: Mapping[str, RunSetup]) -> tuple[list[str], list[str]]:
    """Returns the names of runs that can be compared, and a sentence for each that cannot.

    The largest group of runs with the same data set and class names is compared; of equally large
    ones the group of the first run.

    Args:
        setups: name of a run → its setup.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, setup in setups.items():
        groups.setdefault((setup.config.data, setup.class_names), []).append(name)
    if not groups:
        return [], []
    kept = max(groups.values(), key=len)
    data = setups[kept[0]].config.data
    notes = []
    for (other, _), names in groups.items():
        if names is kept:
            continue
        verb = "was" if len(names) == 1 else "were"
        what = (
            f"trained on {other}, not on {data}"
            if other != data
            else f"trained on other classes of {data} than the rest"
        )
        notes.append(f"{', '.join(names)} {verb} {what}: there are no common test images.")
    return kept, notes


def common_choices(setups: Sequence[RunSetup]) -> tuple[str, ...]:
    """Returns the choices of test classes that all of some runs can be tested on.

    The first is the one to start with. Runs that were trained on the base half are compared on
    the halves first. A method that cannot predict classes without training images leaves the
    base half alone.
    """
    halved = any(setup.config.classes == "base" for setup in setups)
    if any(setup.knows_trained_only for setup in setups):
        return ("base",)
    return ("base", "new", "all") if halved else ("all", "base", "new")

"""Classifies many pictures in batches, one row for each; memory holds one batch at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from mocoop.classifiers.base import Classifier, Routed
from mocoop.csv_cells import csv_cell
from mocoop.errors import UserError
from mocoop.evaluation.picture_content import FLAT, NOISE, without_content
from mocoop.evaluation.unlike_training import TrainingDistances
from mocoop.features.encode import PICTURES_AT_ONCE, ImageEncoder
from mocoop.model.router import routing_entropy

Opened = tuple[Image.Image, list[str]]
"""An RGB picture, and notes that say what was changed to make it RGB."""
Progress = Callable[[int, int], object]
"""Called with (done, total)."""
HEADER = (
    "file", "label", "probability", "experts", "weights", "expert entropy", "class entropy",
    "distance", "quantile", "unlike training", "true label", "right", "notes",
)  # fmt: skip

NO_CONTENT = {FLAT: "of one colour: it shows nothing", NOISE: "pure noise: it shows nothing"}
"""What a picture without content is → the note on it."""


@dataclass(frozen=True)
class GivenPicture:
    """A picture that is opened when its turn comes."""

    name: str
    open: Callable[[], Opened] = field(repr=False)
    """Returns the picture; raises UserError if it cannot be read."""


@dataclass(frozen=True)
class Batch:
    """Some pictures with everything that a classifier says about them."""

    names: tuple[str, ...]
    notes: tuple[tuple[str, ...], ...]
    features: Tensor = field(repr=False)
    """(pictures, dim), L2-normalised."""
    routed: Routed = field(repr=False)


@dataclass(frozen=True)
class PictureRow:
    """What a classifier says about one picture."""

    name: str
    label: str
    """The most probable class."""
    probability: float
    """Of this class, 0 to 1."""
    experts: tuple[tuple[str, float], ...]
    """The chosen experts with their weights, largest first; empty without a router."""
    routing_entropy: float | None
    """Entropy of the router's preferences over all experts, in nats; None without a router."""
    class_entropy: float
    """Entropy of the class probabilities, in nats."""
    distance: float | None = None
    """1 - cosine to the nearest training image; None if it was not measured, like the fields
    below."""
    quantile: float | None = None
    """Share of the training images that are as near to another one or nearer, 0 to 1."""
    unlike: bool | None = None
    """Whether the picture is unlike the training images."""
    notes: tuple[str, ...] = ()
    truth: str | None = None
    """The true class, if it is known."""

    @property
    def right(self) -> bool | None:
        """Whether the label is the true class; None if that is not known."""
        return None if self.truth is None else self.label == self.truth


def classify_many(
    classifier: Classifier,
    encoder: ImageEncoder,
    pictures: Sequence[GivenPicture],
    unreadable: dict[str, str],
    progress: Progress | None = None,
    seen: Callable[[str, Image.Image], object] | None = None,
) -> Iterator[Batch]:
    """Yields batches of pictures with their classification.

    A picture is reduced to the encoder's input as soon as it is open, so that no two large ones
    are in memory together.

    Args:
        classifier: of the run.
        encoder: of the run.
        pictures: the pictures.
        unreadable: name → reason; pictures that cannot be read are added to it and left out.
        progress: called after every picture.
        seen: called with the name and the picture, to keep a thumbnail of it.
    """
    for start in range(0, len(pictures), PICTURES_AT_ONCE):
        names, notes, inputs = [], [], []
        for number, picture in enumerate(pictures[start : start + PICTURES_AT_ONCE], start + 1):
            try:
                image, changed = picture.open()
            except UserError as error:
                unreadable[picture.name] = str(error)
            else:
                inputs.append(encoder.backbone.transform(image))
                names.append(picture.name)
                notes.append((*changed, *_without_content(image)))
                if seen is not None:
                    seen(picture.name, image)
            if progress is not None:
                progress(number, len(pictures))
        if names:
            with torch.no_grad():
                features = encoder.batch(torch.stack(inputs))
                routed = classifier.classify(features)
            yield Batch(tuple(names), tuple(notes), features, routed)


def _without_content(image: Image.Image) -> tuple[str, ...]:
    """Returns a note on a picture that shows nothing, which the distances need not see."""
    found = without_content(image)
    return (NO_CONTENT[found],) if found else ()


def rows_of(batch: Batch, training: TrainingDistances | None = None) -> list[PictureRow]:
    """Returns a row per picture of a batch.

    Args:
        batch: from `classify_many`.
        training: the run's training images; without them it is not said what is unlike them.
    """
    routed = batch.routed
    best = routed.probabilities.max(dim=-1)
    several = len(routed.experts) > 1
    routing = routing_entropy(routed.scores).tolist()
    classes = torch.special.entr(routed.probabilities.double()).sum(dim=-1).tolist()
    far: list[tuple[float | None, float | None, bool | None]]
    far = [(None, None, None)] * len(batch.names)
    if training is not None:
        distances = training.distances(batch.features)
        columns = distances, training.quantiles(distances), training.unlike(distances)
        far = list(zip(*(column.tolist() for column in columns), strict=True))
    return [
        PictureRow(
            name,
            routed.class_names[int(best.indices[index])],
            float(best.values[index]),
            tuple(routed.chosen(index)) if several else (),
            routing[index] if several else None,
            classes[index],
            *far[index],
            batch.notes[index],
        )
        for index, name in enumerate(batch.names)
    ]


def distinct_names(names: Iterable[str]) -> list[str]:
    """Returns the names, the second and later ones of the same name with a number behind.

    >>> distinct_names(["a.png", "b.png", "a.png"])
    ['a.png', 'b.png', 'a.png (2)']
    """
    found: dict[str, None] = {}
    for name in names:
        called, number = name, 1
        while called in found:
            number += 1
            called = f"{name} ({number})"
        found[called] = None
    return list(found)


def many_csv(
    rows: Sequence[PictureRow],
    unreadable: Mapping[str, str],
    aside: Mapping[str, str] | None = None,
) -> str:
    """Returns the rows as CSV; files without an answer follow, with only a note.

    Args:
        rows: one for each picture.
        unreadable: pictures that could not be read: name → reason.
        aside: files that are no pictures, or were not looked at: path → reason.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for row in rows:
        writer.writerow(
            (
                csv_cell(row.name),
                csv_cell(row.label),
                f"{row.probability:.6f}",
                csv_cell("; ".join(name for name, _ in row.experts)),
                "; ".join(f"{weight:.4f}" for _, weight in row.experts),
                *(_number(value) for value in (row.routing_entropy, row.class_entropy)),
                *(_number(value) for value in (row.distance, row.quantile)),
                _yes_or_no(row.unlike),
                csv_cell(row.truth or ""),
                _yes_or_no(row.right),
                csv_cell("; ".join(row.notes)),
            )
        )
    empty = ("",) * (len(HEADER) - 2)
    for name, why in unreadable.items():
        writer.writerow((csv_cell(name), *empty, csv_cell(f"not read: {why}")))
    for name, why in (aside or {}).items():
        writer.writerow((csv_cell(name), *empty, csv_cell(f"left aside: {why}")))
    return text.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _yes_or_no(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"

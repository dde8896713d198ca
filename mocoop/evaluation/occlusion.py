"""Which regions of a picture an answer depends on, found by covering them one after another.

Zeiler and Fergus (arXiv 1311.2901): a grey square goes over the picture, and the change of the
answer is noted at the place of its centre. It works with every image tower and every method.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from mocoop.classifiers.base import Classifier, Routed
from mocoop.classifiers.prompts import ConditionalClassifier
from mocoop.clip.backbone import Backbone
from mocoop.errors import UserError
from mocoop.features.encode import ImageEncoder

CELLS = 8
"""The square's centre goes to this many places along each side of the picture."""
SIDE = 0.25
"""The square's side, as a share of the picture's."""
GREY = 0.5  # between black, 0, and white, 1
AT_ONCE = 32  # pictures that are encoded together


@dataclass(frozen=True)
class Occlusion:
    """The answers for a picture as it is, and with a grey square at each place of a grid."""

    plain: Routed = field(repr=False)
    """The answer for the whole picture, a batch of 1."""
    covered: Routed = field(repr=False)
    """The answers with the square, row by row of the grid (cells²)."""
    cells: int
    """Number of places along each side."""

    def drop(self, label: int) -> Tensor:
        """Returns by how much the square lowers a class's probability, (cells, cells).

        What is positive speaks for the class: without it the probability is smaller.
        """
        change = self.plain.probabilities[:, label] - self.covered.probabilities[:, label]
        return self._grid(change)

    def difference(self, first: int, second: int, label: int) -> Tensor:
        """Returns how each place moves two experts apart about a class, (cells, cells).

        With the square, the class's logit under the first expert minus that under the second
        changes. Where the map is positive, what is covered speaks for the class more under the
        first expert than under the second. Each expert's logits are taken from their mean over
        the classes, because a number that is added to all of them changes no answer.

        Args:
            first: index of an expert.
            second: index of another one.
            label: index of the class.
        """
        apart = [
            _logit(one.expert_probabilities[:, first], label)
            - _logit(one.expert_probabilities[:, second], label)
            for one in (self.plain, self.covered)
        ]
        return self._grid(apart[0] - apart[1])

    def _grid(self, values: Tensor) -> Tensor:
        return values.unflatten(0, (self.cells, self.cells))


def occlusion(
    encoder: ImageEncoder,
    classifier: Classifier,
    picture: Image.Image,
    side: float = SIDE,
    cells: int = CELLS,
) -> Occlusion:
    """Returns the answers for an RGB picture with and without a grey square on it.

    The image tower sees cells² + 1 pictures: each is what the tower sees of the picture, with the
    square at one place.

    Args:
        encoder: the run's image tower.
        classifier: the run's classifier, of the classes that can be predicted.
        picture: an RGB picture.
        side: the square's side as a share of the picture's, above 0 and at most 1.
        cells: number of places of its centre along each side.

    Raises:
        UserError: for another side, or less than one place.
    """
    if not 0 < side <= 1 or cells < 1:
        raise UserError(
            f"Expected a square whose side is a share of the picture's, above 0 and at most 1, at "
            f"one place or more; got {side:g} at {cells} places."
        )
    clip = encoder.backbone
    seen = clip.transform(picture)
    all_views = torch.cat([seen[None], covered(seen, grey_of(encoder), side, cells)])
    features = torch.cat([encoder.batch(part) for part in all_views.split(AT_ONCE)])
    return Occlusion(_answers(classifier, features[:1]), _answers(classifier, features[1:]), cells)


def _answers(classifier: Classifier, features: Tensor) -> Routed:
    """Returns a classifier's answers, in which every expert sees the image if experts can.

    Otherwise a square that moves the routing would compare an expert's prompt for this image
    with its prompt for no image.
    """
    routed = classifier.classify(features)
    if not isinstance(classifier, ConditionalClassifier) or len(classifier.experts) == 1:
        return routed
    alone = classifier.with_all_experts().classify(features).expert_probabilities
    return replace(routed, expert_probabilities=alone)


def covered(picture: Tensor, grey: Tensor, side: float, cells: int) -> Tensor:
    """Returns copies of a picture (cells², 3, height, width) with a square at one place each.

    The centre of the square goes to the middle of each cell of a grid; beyond the picture's edge
    it is cut off.

    Args:
        picture: (3, height, width).
        grey: the square's colour, (3,).
        side: the square's side as a share of the picture's.
        cells: number of cells along each side.
    """
    rows, columns = (_spans(length, side, cells) for length in picture.shape[1:])
    under = rows[:, None, :, None] & columns[None, :, None, :]  # (cells, cells, height, width)
    return torch.where(under.flatten(0, 1)[:, None], grey[:, None, None], picture)


def seen_picture(backbone: Backbone, picture: Image.Image) -> Image.Image:
    """Returns what an image tower sees of an RGB picture: cut and scaled to its size."""
    settings = backbone.preprocess
    mean, std = (torch.tensor(value)[:, None, None] for value in (settings.mean, settings.std))
    pixels = (backbone.transform(picture) * std + mean).clamp(0, 1)
    return Image.fromarray((255 * pixels).round().byte().permute(1, 2, 0).contiguous().numpy())


def grey_of(encoder: ImageEncoder) -> Tensor:
    """Returns middle grey (3,) as an image tower's transform gives it."""
    settings = encoder.backbone.preprocess
    return (GREY - torch.tensor(settings.mean)) / torch.tensor(settings.std)


def _spans(length: int, side: float, cells: int) -> Tensor:
    """Returns which pixels along a side lie under the square at each place, (cells, length)."""
    middles = (torch.arange(length) + 0.5) / length
    centres = (torch.arange(cells) + 0.5) / cells
    return (middles[None] - centres[:, None]).abs() <= side / 2


def _logit(probabilities: Tensor, label: int) -> Tensor:
    """Returns a class's logit less the mean over the classes, (batch,), of (batch, classes)."""
    logs = probabilities.double().clamp_min(torch.finfo(torch.float32).tiny).log()
    return (logs[:, label] - logs.mean(dim=-1)).float()

"""Says which pictures are unlike the training images, by the distance to the nearest of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocoop.classifiers.saved import check_same_data, run_encoder, run_features
from mocoop.clip.tuned_tower import routed_features
from mocoop.datasets import load_dataset
from mocoop.datasets.splits import few_shot_items
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.runs.run import Run, RunSetup

SHARE = 0.95  # of the training images that must pass, as in Sun et al.
_AT_ONCE = 1024  # training images that are compared with all others at the same time

METHOD = (
    "The distance is 1 - cosine between the picture's CLIP feature and that of the nearest "
    f"training image. The threshold is the distance below which {100 * SHARE:.0f} % of the "
    "training images have their own nearest other training image. Source: Sun et al., "
    "Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, with k = 1."
)


@dataclass(frozen=True)
class TrainingDistances:
    """The training images' features, and how near they are to each other."""

    features: Tensor = field(repr=False)
    """(images, dim), L2-normalised: those that a router sees, which are CLIP's own if kept."""
    own: NDArray[np.float64] = field(repr=False)
    """(images,), sorted: the distance of each training image to the nearest other one."""
    threshold: float
    """Pictures that are farther away than this are unlike the training images."""

    @classmethod
    def of(cls, features: Tensor, share: float = SHARE) -> Self:
        """Returns the distances among training images.

        Args:
            features: of the training images, (images, dim), L2-normalised.
            share: of the training images that are not told to be unlike the others, 0 to 1.

        Raises:
            UserError: for fewer than two images.

        Source: Sun et al., *Out-of-Distribution Detection with Deep Nearest Neighbors*,
        ICML 2022, arXiv 2204.06507, algorithm 1 with k = 1. There are few training images here:
        each one's distance is to the nearest of the others.
        """
        if len(features) < 2:
            raise UserError(
                "At least two training images are needed to say what is near to them; there "
                f"{'is' if len(features) == 1 else 'are'} {len(features)}."
            )
        parts = []
        for start in range(0, len(features), _AT_ONCE):
            cosines = features[start : start + _AT_ONCE] @ features.T  # (part, images)
            rows = torch.arange(len(cosines))
            cosines[rows, start + rows] = -2.0  # not its own neighbour
            parts.append(1.0 - cosines.max(dim=1).values)
        own = np.sort(torch.cat(parts).double().clamp(min=0.0).numpy())
        # One of the distances, not a number between two: else a picture could be unlike the
        # training images with a quantile below the share.
        return cls(features, own, float(np.quantile(own, share, method="higher")))

    def distances(self, features: Tensor) -> NDArray[np.float64]:
        """Returns the distance (pictures,) of each picture to the nearest training image, 0 to 2.

        Args:
            features: of the pictures, (pictures, dim), by the same CLIP. More features of a
                picture may stand before the one that a router sees.
        """
        features = routed_features(features, self.features.shape[1])
        cosines = (features @ self.features.T).max(dim=1).values  # (pictures,)
        return (1.0 - cosines).double().clamp(min=0.0).numpy()

    def quantiles(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the share of training images that are as near to another one or nearer, 0 to 1.

        1 means: farther away than any training image is from the others.
        """
        return np.searchsorted(self.own, distances, side="right") / len(self.own)

    def unlike(self, distances: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns whether each picture is unlike the training images."""
        return distances > self.threshold


def check_has_training_images(setup: RunSetup) -> None:
    """Raises UserError for a method without training images."""
    method = METHODS[setup.config.method]
    if not method.needs_images:
        raise UserError(f"{method.label} has no training images.")


def training_distances(run: Run) -> TrainingDistances:
    """Returns the distances among a finished run's training images; they are encoded if needed.

    Raises:
        UserError: for a method without training images, or if the data set or the CLIP is not
            here or has changed.
    """
    setup = run.setup()
    check_has_training_images(setup)
    dataset, encoder = load_dataset(setup.config.data), run_encoder(run)
    check_same_data(run, setup, dataset, encoder.backbone)
    items, _ = few_shot_items(setup.config, dataset)
    features = run_features(run, encoder).features(dataset, items)[:, 0]
    return TrainingDistances.of(routed_features(features, encoder.backbone.text.dim))

"""A classifier together with the image tower that it belongs to: pictures in, answers out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from mocoop.classifiers.base import Classifier, Routed
from mocoop.classifiers.saved import open_classifier, run_encoder
from mocoop.clip.backbone import Backbone
from mocoop.datasets.given_images import GivenImages, read_pictures, unreadable
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache, UnreadableImagesError
from mocoop.features.encode import ImageEncoder
from mocoop.runs.run import Run
from mocoop.templates import TemplateSet

AT_ONCE = 1024  # images that are classified together
_ANY = TemplateSet({"": ("{}",)}, "{}")  # of data that are only classified


@dataclass(frozen=True)
class ImageClassifier:
    """A classifier of pictures."""

    classifier: Classifier
    """From image features to probabilities."""
    encoder: ImageEncoder = field(repr=False)
    """From pictures to image features, in the number format that the run was trained with."""

    @classmethod
    def from_run(cls, run: Run, epoch: int | None = None, loaded: Backbone | None = None) -> Self:
        """Returns the classifier of a finished run.

        Args:
            run: the run.
            epoch: one of the epochs that it kept; the last if None.
            loaded: the run's backbone, where it is loaded already.

        Raises:
            UserError: for a run that is not finished or kept no such epoch, or if the CLIP's
                weights are no longer those that the run was trained with.
        """
        encoder = run_encoder(run, loaded)
        return cls(open_classifier(run, epoch, encoder.backbone), encoder)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in label order."""
        return self.classifier.class_names

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the experts."""
        return self.classifier.experts

    def predict(self, images: Any) -> Routed:
        """Returns probabilities and routing of pictures.

        Args:
            images: a list of paths, PIL pictures or uint8 arrays (height, width, 3), also grey
                or with an alpha channel.

        Raises:
            UserError: for what is no list of pictures, or pictures that cannot be read; all of
                these are named.
        """
        given = read_pictures(images)
        if given is None:
            raise UserError(
                "Expected a list of pictures: paths, PIL pictures or uint8 arrays; got "
                f"{type(images).__name__}. Features go to `classifier.classify`."
            )
        return self.classify(given)

    def classify(self, given: GivenImages) -> Routed:
        """Returns probabilities and routing of pictures, or features, that were checked.

        Raises:
            UserError: for pictures that cannot be read; all of them are named.
        """
        parts = self.features(given).split(AT_ONCE)
        return Routed.joined([self.classifier.classify(part) for part in parts])

    def features(self, given: GivenImages) -> Tensor:
        """Returns L2-normalised features (images, dim), fp32, on the CPU.

        Raises:
            UserError: for pictures that cannot be read; all of them are named.
        """
        items = given.items([0] * len(given))
        dataset = given.dataset(self.class_names, _ANY, test=items)
        encoder = self.encoder
        cache = FeatureCache(encoder.backbone, keep=False, precision=encoder.precision)
        try:
            with torch.no_grad():
                return cache.features(dataset, items)[:, 0]
        except UnreadableImagesError as error:
            raise unreadable(error.reasons, len(given)) from error

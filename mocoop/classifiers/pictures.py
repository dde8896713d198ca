"""A classifier with its image tower: images in, probabilities and routing out."""

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

BATCH = 1024  # images that are classified together
_UNUSED_TEMPLATES = TemplateSet({"": ("{}",)}, "{}")  # a data set needs some, encoding does not


@dataclass(frozen=True)
class ImageClassifier:
    """A classifier of images."""

    classifier: Classifier
    """Turns image features into probabilities."""
    encoder: ImageEncoder = field(repr=False)
    """Turns images into features, in the number format that the run was trained with."""
    white: float | None = None
    """The value that is white in images of more than 8 bits, as in the training; None to guess it
    for each image alone."""

    @classmethod
    def from_run(cls, run: Run, epoch: int | None = None, loaded: Backbone | None = None) -> Self:
        """Returns the classifier of a finished run.

        Args:
            run: the run.
            epoch: a saved epoch; by default the state at the end of training.
            loaded: the run's backbone, if it is loaded already.

        Raises:
            UserError: if the run is not finished, the epoch was not saved, or the CLIP's
                weights have changed since the training.
        """
        encoder = run_encoder(run, loaded)
        return cls(open_classifier(run, epoch, encoder.backbone), encoder, run.setup().white)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in label order."""
        return self.classifier.class_names

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the experts."""
        return self.classifier.experts

    def predict(self, images: Any) -> Routed:
        """Returns probabilities and routing of images.

        Args:
            images: a list of paths, PIL images or uint8 arrays (height, width, 3); arrays may
                also be grey or have an alpha channel.

        Raises:
            UserError: if this is not a list of images, or images cannot be read; the message
                names all of these.
        """
        given = read_pictures(images, white=self.white)
        if given is None:
            raise UserError(
                "Expected a list of images: paths, PIL images or uint8 arrays; got "
                f"{type(images).__name__}. For image features, use `classifier.classify`."
            )
        return self.classify(given)

    def classify(self, given: GivenImages) -> Routed:
        """Returns probabilities and routing of checked images or features.

        Raises:
            UserError: if images cannot be read; the message names all of them.
        """
        parts = self.features(given).split(BATCH)
        return Routed.joined([self.classifier.classify(part) for part in parts])

    def features(self, given: GivenImages) -> Tensor:
        """Returns L2-normalised features (images, dim), fp32, on the CPU.

        Raises:
            UserError: if images cannot be read; the message names all of them.
        """
        items = given.items([0] * len(given))
        dataset = given.dataset(self.class_names, _UNUSED_TEMPLATES, test=items)
        encoder = self.encoder
        cache = FeatureCache(encoder.backbone, keep=False, precision=encoder.precision)
        try:
            with torch.no_grad():
                return cache.features(dataset, items)[:, 0]
        except UnreadableImagesError as error:
            raise unreadable(error.reasons, len(given)) from error

"""A trained run as a classifier: one small linear router and one product, no text tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor, nn

from mocoop.backbone import Backbone
from mocoop.errors import UserError
from mocoop.model import mix
from mocoop.runs import Run, load_gate


@dataclass(frozen=True)
class Routed:
    """What a classifier says of a batch of images."""

    class_names: tuple[str, ...]
    experts: tuple[str, ...]
    scores: Tensor = field(repr=False)  # (batch, experts), the router's scores
    weights: Tensor = field(repr=False)  # (batch, experts), zero for experts not chosen
    expert_probabilities: Tensor = field(repr=False)  # (batch, experts, classes)
    probabilities: Tensor = field(repr=False)  # (batch, classes), of the mixture

    def chosen(self, index: int) -> list[tuple[str, float]]:
        """Returns an image's chosen experts with their weights, largest first."""
        order = self.weights[index].argsort(descending=True).tolist()
        pairs = [(self.experts[g], float(self.weights[index, g])) for g in order]
        return [(name, weight) for name, weight in pairs if weight > 0]


@dataclass(frozen=True)
class Classifier:
    """Text features and router of a finished run, ready for image features."""

    class_names: tuple[str, ...]
    experts: tuple[str, ...]
    soft: Tensor = field(repr=False)  # (experts, classes, dim), L2-normalised
    gate: nn.Linear | None = field(repr=False)
    logit_scale: float
    num_chosen: int

    @classmethod
    def from_run(cls, run: Run, epoch: int | None = None) -> Classifier:
        """Returns the classifier of a finished run, or its text features of a saved epoch.

        Raises:
            UserError: for a run that is not finished, or incomplete.
        """
        run.require_finished()
        setup = run.setup()
        features = run.features()
        if epoch is not None and epoch not in features.soft:
            raise UserError(f"Run {run.path} kept no epoch {epoch}, only {list(features.soft)}.")
        return cls(
            setup.class_names,
            setup.experts,
            features.last if epoch is None else features.soft[epoch],
            load_gate(run.weights()),
            setup.logit_scale,
            setup.config.num_chosen,
        )

    def only(self, labels: Sequence[int]) -> Classifier:
        """Returns a classifier among some of the classes."""
        names = tuple(self.class_names[label] for label in labels)
        return replace(self, class_names=names, soft=self.soft[:, list(labels)])

    @torch.no_grad()
    def classify(self, image_features: Tensor, expert: int | None = None) -> Routed:
        """Returns routing and probabilities of images.

        Args:
            image_features: (batch, dim), L2-normalised, from the run's backbone.
            expert: give all the weight to this expert instead of asking the router.
        """
        mixture = mix(image_features, self.soft, self.gate, self.logit_scale, self.num_chosen)
        weights, logits = mixture.weights, mixture.logits
        if expert is not None:
            weights = torch.zeros_like(weights)
            weights[:, expert] = 1.0
            logits = mixture.expert_logits[:, expert]
        return Routed(
            self.class_names,
            self.experts,
            mixture.scores,
            weights,
            mixture.expert_logits.softmax(dim=-1),
            logits.softmax(dim=-1),
        )


def encode_images(backbone: Backbone, images: Sequence[Image.Image]) -> Tensor:
    """Returns L2-normalised features (images, dim) of RGB images, on the CPU."""
    batch = torch.stack([backbone.transform(image) for image in images])
    return backbone.image_features(batch).cpu()

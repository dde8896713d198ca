"""Classifiers of soft prompts: with fixed text features, or prompts that depend on the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from mocoop.classifiers.base import Classifier, Routed
from mocoop.clip.text_tower import TextTower
from mocoop.model.mixed_logits import Mixture, mix
from mocoop.model.mixture import PromptMixture, predict
from mocoop.prompt_encoder.layout import ClassTokens


@dataclass(frozen=True)
class MixtureClassifier(Classifier):
    """Fixed text features and a router. It needs two small matrix products and no text tower."""

    soft: Tensor = field(repr=False)  # (experts, classes, dim), L2-normalised
    gate: nn.Linear | None = field(repr=False)
    logit_scale: float
    num_chosen: int

    def subset(self, labels: Sequence[int]) -> MixtureClassifier:
        """Returns a classifier of some of the classes."""
        return replace(self, class_names=self.names_of(labels), soft=self.soft[:, list(labels)])

    @torch.no_grad()
    def classify(self, image_features: Tensor) -> Routed:
        """Returns probabilities and routing of images."""
        mixture = mix(image_features, self.soft, self.gate, self.logit_scale, self.num_chosen)
        return _routed(self, mixture)

    def with_all_experts(self) -> MixtureClassifier:
        """Returns the classifier without its router: all experts, with equal weight."""
        return replace(self, gate=None, num_chosen=len(self.experts))


@dataclass(frozen=True)
class ConditionalClassifier(Classifier):
    """Prompts that depend on the image, so every image needs the text tower.

    Experts that are not chosen for an image answer by the prompt that no image has changed.
    """

    model: PromptMixture = field(repr=False)
    tower: TextTower = field(repr=False)
    everyone: bool = False
    """Whether all experts are chosen, with equal weight, whatever the router says."""

    def subset(self, labels: Sequence[int]) -> ConditionalClassifier:
        """Returns a classifier of some of the classes."""
        return replace(self, class_names=self.names_of(labels))

    def with_all_experts(self) -> ConditionalClassifier:
        """Returns the classifier without its router: all experts, with equal weight."""
        return replace(self, everyone=True)

    def classify(self, image_features: Tensor) -> Routed:
        """Returns probabilities and routing of images."""
        classes = ClassTokens.from_names(self.tower.tokens, self.class_names)
        device = self.tower.positional_embedding.device
        features = image_features.to(device)
        mixture = predict(self.model, self.tower, classes, features, self.everyone)
        return _routed(self, mixture, image_features.device)


def _routed(
    classifier: Classifier, mixture: Mixture, device: torch.device | None = None
) -> Routed:
    """Returns a mixture's output as a classifier's result, on a device or where it is."""
    values = (
        mixture.scores,
        mixture.weights,
        mixture.expert_logits.softmax(dim=-1),
        mixture.logits.softmax(dim=-1),
    )
    moved = [value if device is None else value.to(device) for value in values]
    return Routed(classifier.class_names, classifier.experts, *moved)


def learned_state(model: PromptMixture) -> dict[str, torch.Tensor]:
    """Returns all parameters of the model on the CPU, including the frozen tokens after names."""
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}

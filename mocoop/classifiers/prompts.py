"""Classifiers of soft prompts: a mixture, or one prompt that depends on the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from mocoop.classifiers.base import Classifier, Routed, SingleClassifier
from mocoop.clip.text_tower import TextTower
from mocoop.model.mixture import PromptMixture, mix, predict
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
        return Routed(
            self.class_names,
            self.experts,
            mixture.scores,
            mixture.weights,
            mixture.expert_logits.softmax(dim=-1),
            mixture.logits.softmax(dim=-1),
        )


@dataclass(frozen=True)
class ConditionalClassifier(SingleClassifier):
    """A prompt that depends on the image, so every image needs the text tower."""

    model: PromptMixture = field(repr=False)
    tower: TextTower = field(repr=False)

    def subset(self, labels: Sequence[int]) -> ConditionalClassifier:
        """Returns a classifier of some of the classes."""
        return replace(self, class_names=self.names_of(labels))

    def logits(self, image_features: Tensor) -> Tensor:
        """Returns logits (batch, classes) of L2-normalised image features (batch, dim)."""
        classes = ClassTokens.from_names(self.tower.tokens, self.class_names)
        device = self.tower.positional_embedding.device
        mixture = predict(self.model, self.tower, classes, image_features.to(device))
        return mixture.logits.to(image_features.device)


def learned_state(model: PromptMixture) -> dict[str, torch.Tensor]:
    """Returns all parameters of the model on the CPU, including the frozen tokens after names."""
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}

"""What CLIP-Adapter and LP++ are in an export: a row of numbers per class, and little more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from mocoop.classifiers.base import Classifier, Routed, require_trained
from mocoop.classifiers.blended_probe import BlendedClassifier
from mocoop.classifiers.feature_adapter import (
    AdapterClassifier,
    FeatureAdapter,
    adapted_features,
)
from mocoop.classifiers.prompts import MixtureClassifier

BIAS, ADAPTER = "bias", "adapter."
"""The name of a bias in an export, and what the names of an adapter's tensors begin with."""


@dataclass(frozen=True)
class ExportedHead(MixtureClassifier):
    """One row of numbers per class, with a bias per class, or on adapted image features."""

    bias: Tensor | None = field(default=None, repr=False)  # (classes,)
    adapter: FeatureAdapter | None = field(default=None, repr=False)

    def subset(self, labels: Sequence[int]) -> ExportedHead:
        """Returns a classifier of some of the classes.

        Raises:
            UserError: if one of the classes is not in it.
        """
        kept = list(labels)
        require_trained("The classifier", kept, self.soft.shape[1])
        bias = None if self.bias is None else self.bias[kept]
        names = self.names_of(labels)
        return replace(self, class_names=names, soft=self.soft[:, kept], bias=bias)

    @torch.no_grad()
    def classify(self, image_features: Tensor) -> Routed:
        """Returns probabilities; the routing is the same for every image."""
        own, features = self.adapter, image_features
        if own is not None:
            features = adapted_features(image_features, own.down, own.up, own.ratio)
        logits = self.logit_scale * features @ self.soft[0].T
        if self.bias is not None:
            logits = logits + self.bias
        probabilities = logits.softmax(dim=-1)
        scores = features.new_zeros(len(features), 1)
        return Routed(
            self.class_names,
            self.experts,
            scores,
            torch.ones_like(scores),
            probabilities[:, None],
            probabilities,
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns what an export holds besides the text features, as named tensors."""
        tensors = {} if self.bias is None else {BIAS: self.bias.contiguous()}
        if self.adapter is not None:
            own = self.adapter.to_tensors()
            tensors |= {f"{ADAPTER}{name}": value for name, value in own.items()}
        return tensors

    @classmethod
    def of(cls, base: MixtureClassifier, tensors: Mapping[str, Tensor]) -> Self:
        """Returns the head that `to_tensors` described, with the text features of `base`."""
        own = {n.removeprefix(ADAPTER): v for n, v in tensors.items() if n.startswith(ADAPTER)}
        return cls(
            base.class_names, base.experts, base.soft, None, base.logit_scale, 1,
            tensors.get(BIAS), FeatureAdapter.from_tensors(own) if own else None,
        )  # fmt: skip


def is_head(tensors: Mapping[str, Tensor]) -> bool:
    """Returns whether an export's tensors are those of an `ExportedHead`."""
    return any(name == BIAS or name.startswith(ADAPTER) for name in tensors)


def as_exported(classifier: Classifier) -> MixtureClassifier | None:
    """Returns what an export holds of a classifier; None if it cannot be exported.

    LP++ is a linear layer in the end: `f (w_c + blend_c t_c) + b_c`, without a logit scale.
    """
    if isinstance(classifier, AdapterClassifier):
        return ExportedHead(
            classifier.class_names, classifier.experts, classifier.text[None], None,
            classifier.logit_scale, 1, None, classifier.adapter,
        )  # fmt: skip
    if isinstance(classifier, BlendedClassifier):
        own = classifier.probe
        rows = own.weight + own.blend[:, None] * own.text[: len(own.weight)]
        return ExportedHead(
            classifier.class_names, classifier.experts, rows[None], None, 1.0, 1, own.bias
        )
    return classifier if isinstance(classifier, MixtureClassifier) else None

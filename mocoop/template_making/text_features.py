"""Text features of many templates for the classes of a data set, encoded once."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.prompt_encoder.layout import filled_tokens

MOST_CLASSES = 100  # classes for which templates are encoded
LEAST_CLASSES = 10
TEXTS = 200_000  # sentences that are encoded in all, as long as `LEAST_CLASSES` allow it
_ROWS = 1024  # sentences per forward pass

Progress = Callable[[int, int], None]


def encoded_classes(labels: Sequence[int], templates: int, seed: int) -> list[int]:
    """Returns the labels for which templates are encoded: all, or some drawn by the seed.

    Args:
        labels: the labels of the classes that may be used.
        templates: how many templates there will be.
        seed: seed of the draw.
    """
    most = min(MOST_CLASSES, max(LEAST_CLASSES, TEXTS // max(templates, 1)))
    if len(labels) <= most:
        return list(labels)
    return sorted(random.Random(seed).sample(list(labels), most))


class TextFeatures:
    """L2-normalised features of templates; each template is encoded once.

    Args:
        tower: the frozen text tower.
        class_names: the classes that fill the slot.
    """

    def __init__(self, tower: TextTower, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._tower = tower
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def of(self, templates: Sequence[str], progress: Progress | None = None) -> Tensor:
        """Returns features (templates, classes, dim), fp32, on the CPU.

        Args:
            templates: the templates.
            progress: called with the numbers of templates done and in total, while encoding.
        """
        missing = [text for text in dict.fromkeys(templates) if text not in self._known]
        at_once = max(1, _ROWS // len(self.class_names))
        for start in range(0, len(missing), at_once):
            some = missing[start : start + at_once]
            tokens = torch.cat(
                [filled_tokens(self._tower.tokens, text, self.class_names) for text in some]
            )
            features = F.normalize(self._tower.encode_tokens(tokens).float(), dim=-1).cpu()
            parts = features.view(len(some), len(self.class_names), -1)
            self._known.update(zip(some, parts, strict=True))
            if progress is not None:
                progress(min(start + at_once, len(missing)), len(missing))
        return torch.stack([self._known[text] for text in templates])


def mean_vectors(features: Tensor) -> np.ndarray:
    """Returns each template's mean feature over the classes, (templates, dim), float64."""
    return features.double().mean(dim=1).numpy()


def class_bootstraps(features: Tensor, count: int, seed: int) -> list[np.ndarray]:
    """Returns mean features (templates, dim) over classes that are drawn with replacement.

    Args:
        features: (templates, classes, dim).
        count: number of draws.
        seed: seed of the draws.
    """
    generator = np.random.default_rng(seed)
    classes = features.shape[1]
    found = []
    for _ in range(count):
        drawn = np.bincount(generator.integers(classes, size=classes), minlength=classes)
        weights = torch.from_numpy(drawn / classes).float()
        found.append(torch.einsum("tcd,c->td", features, weights).double().numpy())
    return found

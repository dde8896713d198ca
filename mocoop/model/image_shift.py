"""Prompts that see the image: the vector that an image adds, and the prompts to encode for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mocoop.config import TrainConfig
from mocoop.model.soft_prompts import linear


class MetaNet(nn.Module):
    """CoCoOp's meta-net: the vector that an image adds to every context token.

    Linear(dim, dim / 16), ReLU, Linear(., width); Zhou et al., CVPR 2022 (arXiv 2203.05557).

    Args:
        dim: width of the image features.
        width: width of the context tokens.
        generator: draws the initial weights, in the range of `nn.Linear`; a CPU generator.
        zero: start the last layer with zeros, so that the first vectors are zero.
    """

    def __init__(
        self, dim: int, width: int, generator: torch.Generator, zero: bool = False
    ) -> None:
        super().__init__()
        hidden = max(1, dim // 16)
        self.squeeze = linear(dim, hidden, generator)
        self.expand = linear(hidden, width, generator)
        if zero:
            nn.init.zeros_(self.expand.weight)
            nn.init.zeros_(self.expand.bias)

    def forward(self, image_features: Tensor) -> Tensor:
        """Returns a vector per image, (batch, width), from normalised features (batch, dim)."""
        return self.expand(self.squeeze(image_features).relu())


def image_shift(
    config: TrainConfig, dim: int, width: int, experts: int, generator: torch.Generator
) -> MetaNet | nn.ModuleList | None:
    """Returns the untrained network for all experts, or one per expert; None without any.

    Args:
        config: the run's settings.
        dim: width of the image features.
        width: width of the context tokens.
        experts: the number of experts.
        generator: draws the initial weights; a CPU generator.
    """
    if not config.conditional:
        return None
    new = lambda: MetaNet(dim, width, generator, config.zero_shift)
    return nn.ModuleList([new() for _ in range(experts)]) if config.shift_per_expert else new()


@dataclass(frozen=True)
class Pairs:
    """The pairs of an image and an expert that is chosen for it, by expert, then by image."""

    images: Tensor  # (pairs,), indices of images
    experts: Tensor  # (pairs,), indices of experts
    counts: tuple[int, ...]  # the number of pairs of each expert

    @classmethod
    def chosen(cls, scores: Tensor, num_chosen: int) -> Pairs:
        """Returns the pairs of the K experts with the largest scores of each image.

        Args:
            scores: the router's scores, (images, experts).
            num_chosen: K.
        """
        experts = scores.topk(num_chosen, dim=-1).indices.flatten()
        order = experts.argsort(stable=True)
        experts = experts[order]
        counts = torch.bincount(experts, minlength=scores.shape[1])
        return cls(order // num_chosen, experts, tuple(counts.tolist()))

    def pieces(self) -> Iterator[tuple[int, slice]]:
        """Yields pieces of the pairs to encode together: an expert, and which of its pairs.

        The sizes of a mixture's pieces are powers of two. The number of pairs of an expert changes
        from batch to batch, but these sizes do not: so the layouts of the prompts can be used
        again. A single expert has the same number in every batch.
        """
        start = 0
        for expert, count in enumerate(self.counts):
            while count:
                size = count if len(self.counts) == 1 else 1 << (count.bit_length() - 1)
                yield expert, slice(start, start + size)
                start, count = start + size, count - size

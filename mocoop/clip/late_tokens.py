"""Learned tokens of each expert in the last blocks of an image tower.

The blocks below run once per image. A router chooses K experts by the frozen tower's feature, and
in a training step only their last blocks run. An experiment of ours; nothing of the kind was
published.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class LateTokens:
    """Each expert's tokens of the last blocks, and the router that chooses experts."""

    tokens: Tensor = field(repr=False)  # (experts, blocks, count, width)
    weight: Tensor = field(repr=False)  # (experts, dim), of the router
    bias: Tensor = field(repr=False)  # (experts,)
    num_chosen: int
    """K, the number of experts whose last blocks run for an image."""

    @property
    def experts(self) -> int:
        """The number of experts."""
        return len(self.tokens)

    @property
    def depth(self) -> int:
        """The number of last blocks with tokens of each expert."""
        return self.tokens.shape[1]

    def of_all_experts(self) -> LateTokens:
        """Returns the same with all experts chosen for every image."""
        return replace(self, num_chosen=self.experts)

    def of_expert(self, expert: int) -> LateTokens:
        """Returns the tokens of one expert alone, which is chosen for every image."""
        own = slice(expert, expert + 1)
        return LateTokens(self.tokens[own], self.weight[own], self.bias[own], 1)

    @torch.no_grad()
    def chosen(self, frozen: Tensor) -> Tensor:
        """Returns the K experts (batch, K) that the router chooses by features (batch, dim)."""
        scores = torch.nn.functional.linear(frozen, self.weight, self.bias)
        return scores.topk(self.num_chosen, dim=-1).indices

    def joined(self, features: Tensor, chosen: Tensor, frozen: Tensor) -> Tensor:
        """Returns every expert's feature and the frozen one behind, (batch, (experts + 1) dim).

        An expert that is not chosen has the frozen tower's feature.

        Args:
            features: those of the chosen experts, (batch, K, dim).
            chosen: their numbers, (batch, K).
            frozen: (batch, dim).
        """
        slots = frozen[:, None].expand(-1, self.experts, -1)
        where = chosen[..., None].expand_as(features)
        return torch.cat([slots.scatter(1, where, features).flatten(1), frozen], dim=-1)

    def tensors(self) -> dict[str, Tensor]:
        """Returns all that the features depend on, by name."""
        return {
            "late tokens": self.tokens,
            "late router": torch.cat([self.weight, self.bias[:, None]], dim=1),
        }

    def to(self, device: torch.device) -> LateTokens:
        """Returns the same on a device."""
        return replace(
            self,
            tokens=self.tokens.to(device),
            weight=self.weight.to(device),
            bias=self.bias.to(device),
        )


def expert_features(features: Tensor, dim: int, experts: int) -> Tensor:
    """Returns the image features (batch, experts, dim) that each expert's texts are compared with.

    Args:
        features: as `TunedTower.features` returns them: (batch, dim) or (batch, 2 dim), the same
            for all experts, or (batch, (experts + 1) dim).
        dim: the size of CLIP's joint embedding.
        experts: the number of experts.
    """
    if experts > 1 and features.shape[-1] == (experts + 1) * dim:
        return features[..., :-dim].unflatten(-1, (experts, dim))
    return features[..., None, :dim].expand(-1, experts, -1)

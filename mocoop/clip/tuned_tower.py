"""What a run has learned in the image tower, which itself stays frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import RLock
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mocoop.clip.late_tokens import LateTokens
from mocoop.clip.low_rank import LowRank
from mocoop.clip.prompted_tower import prompted_features
from mocoop.prompt_encoder.key_tokens import KeyTokens
from mocoop.setting_types import Insertion


@dataclass(frozen=True)
class TunedTower:
    """Learned parts of an image tower: other values of its parameters, and learned tokens."""

    overrides: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    """Parameter name → value, used instead of the tower's own parameter of that name."""
    tokens: Tensor | None = field(default=None, repr=False)
    """The learned tokens of the first blocks, (blocks, tokens, width); None without any."""
    insertion: Insertion = "replace"
    """How the tokens enter the blocks, as in `prompted_features`."""
    with_frozen: bool = False
    """Whether the frozen tower's feature follows the tuned one: a router may see that one."""
    updates: LowRank | None = field(default=None, repr=False)
    """Low-rank updates of the attention of every block; None without any."""
    keys: KeyTokens | None = field(default=None, repr=False)
    """Learned tokens that are only keys and values, whose number differs between the blocks;
    None without any."""
    late: LateTokens | None = field(default=None, repr=False)
    """Each expert's tokens of the last blocks, with the router; None without any."""

    def features(self, tower: nn.Module, images: Tensor) -> Tensor:
        """Returns L2-normalised features (batch, dim), fp32, of transformed images.

        With `with_frozen` they are (batch, 2 dim): the tuned tower's feature, then the frozen
        tower's, each of length 1. With `late` they are (batch, (experts + 1) dim): each expert's,
        then the frozen tower's, which also stands for experts that are not chosen.

        Threads that share a tower take turns: while one computes with other values of its
        parameters, these stand in the tower itself.
        """
        with _lock_of(tower):
            return self._features(tower, images)

    def _features(self, tower: nn.Module, images: Tensor) -> Tensor:
        """Returns the features of `features`."""
        overrides = dict(self.overrides)
        if self.updates is not None and not self.updates.seeds:
            overrides |= self.updates.merged(tower)
        named = {f"tower.{name}": value for name, value in overrides.items()}
        frozen = chosen = None
        if self.with_frozen or self.late is not None:
            with torch.no_grad():
                frozen = F.normalize(tower(images).float(), dim=-1)
        if self.late is not None and frozen is not None:
            chosen = self.late.chosen(frozen)
        tuned = functional_call(_Tower(tower, self), named, (images, chosen))
        tuned = F.normalize(tuned.float(), dim=-1)
        if self.late is not None and chosen is not None and frozen is not None:
            return self.late.joined(tuned, chosen, frozen)
        return tuned if frozen is None else torch.cat([tuned, frozen], dim=-1)

    def tensors(self) -> dict[str, Tensor]:
        """Returns all that was learned, by name."""
        tokens = {} if self.tokens is None else {"learned tokens": self.tokens}
        if self.keys is not None:
            tokens = {f"learned keys {index}": own for index, own in enumerate(self.keys.values)}
        low, updates = self.updates, {}
        if low is not None:
            updates = {"low-rank down": low.down, "low-rank up": low.up}
        late = {} if self.late is None else self.late.tensors()
        return dict(self.overrides) | tokens | updates | late

    def to(self, device: torch.device) -> TunedTower:
        """Returns the same on a device."""
        return replace(
            self,
            overrides={name: value.to(device) for name, value in self.overrides.items()},
            tokens=None if self.tokens is None else self.tokens.to(device),
            updates=None if self.updates is None else self.updates.to(device),
            keys=None if self.keys is None else self.keys.to(device),
            late=None if self.late is None else self.late.to(device),
        )

    def description(self) -> str:
        """Returns how the tensors are used, as a text for a fingerprint; "" if as always."""
        plain = self.insertion == "replace" and not self.with_frozen
        scale = "" if self.updates is None else f" {self.updates.scale}"
        late = "" if self.late is None else f" {self.late.num_chosen} experts"
        return ("" if plain else f"{self.insertion} {self.with_frozen}") + scale + late

    def feature_dim(self, dim: int) -> int:
        """Returns the length of the features, for a joint embedding of size `dim`."""
        if self.late is not None:
            return (self.late.experts + 1) * dim
        return dim * (2 if self.with_frozen else 1)


_LOCKS: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()
_LOCKS_LOCK = RLock()


def _lock_of(tower: nn.Module) -> RLock:
    """Returns the lock of a tower, the same one in all threads."""
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(tower, RLock())


class _Tower(nn.Module):
    """The tower with its learned tokens, as one module whose parameters can be overridden."""

    def __init__(self, tower: nn.Module, tuned: TunedTower) -> None:
        super().__init__()
        self.tower = tower
        self._tuned = tuned

    def forward(self, images: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Returns features (batch, dim), not normalised; (batch, K, dim) of chosen experts."""
        tuned = self._tuned
        # Without dropout the updates are part of the weights already.
        updates = tuned.updates if tuned.updates is not None and tuned.updates.seeds else None
        late = None if tuned.late is None else tuned.late.tokens
        parts = (tuned.tokens, tuned.keys, updates, late)
        if all(part is None for part in parts):
            return self.tower(images)
        return prompted_features(
            self.tower, images, tuned.tokens, tuned.insertion, updates, tuned.keys, late, chosen
        )


def seen_features(features: Tensor, dim: int) -> Tensor:
    """Returns the features (batch, dim) that are compared with text features.

    Args:
        features: (batch, dim), or (batch, 2 dim) with the frozen tower's feature behind. Where
            each expert has its own: `expert_features`.
        dim: the size of CLIP's joint embedding.
    """
    return features[..., :dim]


def routed_features(features: Tensor, dim: int) -> Tensor:
    """Returns the features (batch, dim) that a router sees: the frozen tower's, if there."""
    return features[..., -dim:]

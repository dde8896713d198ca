"""Learned keys and values in the hand-written passes through a text tower's blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mocoop.prompt_encoder.block_weights import BlockWeights, norm_backward, norm_forward
from mocoop.prompt_encoder.key_tokens import KeyTokens
from mocoop.prompt_encoder.tile_attention import AttendGradients, Beside


@dataclass(frozen=True)
class KeyPlan:
    """Which tokens of a list are the learned keys and values of which block."""

    counts: tuple[int, ...]  # tokens of each block
    lengths: tuple[int, ...]  # tokens of each candidate, if there are several

    def joined(self, learned: Tensor | None, shares: Tensor | None) -> KeyTokens:
        """Returns the tokens of every block."""
        assert learned is not None
        return KeyTokens(learned.split(self.counts), self.lengths, shares)


def keys_beside(keys: KeyTokens | None, number: int, block: BlockWeights) -> Beside | None:
    """Returns the learned keys and values of a block, projected; None if it has none.

    Args:
        keys: the learned tokens of all blocks, or None.
        number: the block's position in the tower.
        block: its weights.
    """
    own = None if keys is None else keys.of_block(number)
    if own is None:
        return None
    width = own.tokens.shape[1]
    normed, *moments = norm_forward(block.norm_1, own.tokens, block.qkv.dtype)
    rows = torch.addmm(block.qkv_bias[width:], normed, block.qkv[:, width:])
    return Beside.from_rows(rows, block.heads, own.lengths, own.shares, tuple(moments))


class KeyGradients:
    """Collects the gradients of the learned keys and values of all blocks.

    Args:
        keys: the learned tokens, or None.
    """

    def __init__(self, keys: KeyTokens | None) -> None:
        self.keys = keys
        self._tokens = [] if keys is None else [torch.zeros_like(own) for own in keys.values]
        shares = None if keys is None else keys.shares
        self.shares = None if shares is None else torch.zeros_like(shares)
        """With respect to the weights of the candidates, if there are any."""

    @property
    def tokens(self) -> Tensor | None:
        """With respect to the tokens of all blocks, one after the other."""
        return torch.cat(self._tokens) if self._tokens else None

    def add(
        self, number: int, block: BlockWeights, beside: Beside | None, found: AttendGradients
    ) -> None:
        """Adds a block's gradients.

        Args:
            number: the block's position in the tower.
            block: its weights.
            beside: its learned keys and values, or None.
            found: what `attend_backward` returned.
        """
        if beside is None or found.beside is None:
            return
        width = found.beside.shape[1] // 2
        d_normed = torch.mm(found.beside, block.qkv[:, width:].t())
        self._tokens[number] = norm_backward(block.norm_1, d_normed, beside.moments)
        if self.shares is not None and found.shares is not None:
            self.shares[number] = found.shares

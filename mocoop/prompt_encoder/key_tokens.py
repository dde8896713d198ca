"""Learned tokens that are only keys and values of a block, and the mixing of several sets of them.

As in DPL (Huang et al., arXiv 2501.00457): such tokens are attended to within a block, are no
queries, and leave no output. The search of DPL mixes the attention of several candidates, with
1, 2, 3 ... tokens, and without any: `sum_m a_m Attention_m`. The queries, the own keys and values
and those of all candidates are computed once; as each attention has a softmax of its own, the
softmaxes are merged by the logarithms of their sums. The output projection is linear, and the
weights sum to 1, so that they are mixed before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class KeyTokens:
    """The learned keys and values of a tower's first blocks; the tokens of a block may be none."""

    values: tuple[Tensor, ...] = field(repr=False)
    """The tokens of every block, (tokens, width), before the block's first LayerNorm."""
    lengths: tuple[int, ...] = ()
    """With `shares`: the number of tokens of each candidate, which stand one after the other."""
    shares: Tensor | None = field(default=None, repr=False)
    """The weights of no tokens and of each candidate, (blocks, 1 + candidates); None if all
    tokens of a block belong together."""

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of tokens of each block."""
        return tuple(len(tokens) for tokens in self.values)

    @property
    def flat(self) -> Tensor:
        """The tokens of all blocks, one after the other."""
        return torch.cat(self.values)

    @property
    def requires_grad(self) -> bool:
        """Whether any token or weight is learned."""
        learned = self.shares is not None and self.shares.requires_grad
        return learned or any(tokens.requires_grad for tokens in self.values)

    def of_block(self, index: int) -> BlockKeys | None:
        """Returns the tokens of a block; None if it has none."""
        if index >= len(self.values) or not len(self.values[index]):
            return None
        shares = None if self.shares is None else self.shares[index]
        return BlockKeys(self.values[index], self.lengths, shares)

    def to(self, device: torch.device) -> KeyTokens:
        """Returns the same on a device."""
        values = tuple(tokens.to(device) for tokens in self.values)
        shares = None if self.shares is None else self.shares.to(device)
        return replace(self, values=values, shares=shares)


@dataclass(frozen=True)
class BlockKeys:
    """The learned keys and values of one block, as in `KeyTokens`."""

    tokens: Tensor  # (tokens, width)
    lengths: tuple[int, ...] = ()
    shares: Tensor | None = None  # (1 + candidates,)

    def output(self, block: nn.Module, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns a block's output (batch, own tokens, width).

        Args:
            block: a block of open_clip whose attention is the usual one.
            x: the block's input, (batch, own tokens, width).
            mask: added to the scores of the own tokens, or None; all see the learned ones.
        """
        parts: Any = block
        x = x + parts.ls_1(self._attention(block, parts.ln_1(x), mask))
        return x + parts.ls_2(parts.mlp(parts.ln_2(x)))

    def _attention(self, block: nn.Module, own: Tensor, mask: Tensor | None) -> Tensor:
        parts: Any = block
        attention, width = parts.attn, own.shape[-1]
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        heads = lambda y: y.unflatten(-1, (attention.num_heads, -1)).transpose(-3, -2)
        query, key, value = map(heads, F.linear(own, weight, bias).chunk(3, dim=-1))
        # Every learned token is projected once, whatever the number of texts or images is.
        learned = parts.ln_1(self.tokens.to(own.dtype))
        extra = F.linear(learned, weight[width:], None if bias is None else bias[width:])
        keys, values = (heads(y).expand(len(own), -1, -1, -1) for y in extra.chunk(2, dim=-1))
        scores = query @ torch.cat([key, keys], dim=-2).transpose(-1, -2)
        scores = scores.float() / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores + F.pad(mask, (0, len(self.tokens)))
        if self.shares is None:
            weights = scores.softmax(dim=-1)
        else:
            weights = merged_softmax(scores, self.lengths, self.shares)
        values = torch.cat([value, values], dim=-2)
        mixed = weights.to(values.dtype) @ values
        return attention.out_proj(mixed.transpose(-3, -2).flatten(-2))


def merged_softmax(scores: Tensor, lengths: Sequence[int], shares: Tensor) -> Tensor:
    """Returns the weighted sum of the softmaxes over the own keys and each candidate's.

    Args:
        scores: (..., own keys + keys of all candidates), one candidate after the other.
        lengths: the number of keys of each candidate.
        shares: (1 + candidates,), the weights of the softmax over the own keys alone, and of
            that over the own keys and those of each candidate; their sum is 1.
    """
    own = scores.shape[-1] - sum(lengths)
    first, *others = scores.float().split([own, *lengths], dim=-1)
    # With L the logarithm of a sum of exponentials, the own keys have exp(L0 - L0m) of the
    # weights of candidate m, and it is never more than 1.
    log_own = first.logsumexp(dim=-1, keepdim=True)
    of_own, parts = shares[0], []
    for share, other in zip(shares[1:], others, strict=True):
        log_all = torch.logaddexp(log_own, other.logsumexp(dim=-1, keepdim=True))
        of_own = of_own + share * (log_own - log_all).exp()
        parts.append(share * (other - log_all).exp())
    return torch.cat([of_own * first.softmax(dim=-1), *parts], dim=-1)


def merged_softmax_backward(
    gradient: Tensor, scores: Tensor, lengths: Sequence[int], shares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the weights of `merged_softmax`, and the gradients of the scores and the shares.

    Args:
        gradient: the gradient with respect to the weights.
        scores, lengths, shares: those of `merged_softmax`.
    """
    with torch.enable_grad():
        inputs = scores.detach().requires_grad_(), shares.detach().requires_grad_()
        weights = merged_softmax(inputs[0], lengths, inputs[1])
    d_scores, d_shares = torch.autograd.grad(weights, inputs, gradient.float())
    return weights.detach(), d_scores, d_shares

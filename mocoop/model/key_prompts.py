"""Learned tokens that are only keys and values of a tower's blocks, and how many there are.

DPL, differentiable prompt learning: Huang et al., arXiv 2501.00457. In its search every block has
candidates with 1, 2 ... M tokens, each with tokens of its own, and learned weights (alphas) of
these candidates and of no tokens at all. The largest softmax weight of a block then gives its
number of tokens, and the training starts with new ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mocoop.clip.low_rank import has_plain_attention
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.prompt_encoder.key_tokens import KeyTokens

VALUES, ALPHAS = "values.", "alphas"
"""What the names of a block's tokens begin with in the module, and the name of the weights."""
TOKEN_STD = 0.02  # standard deviation of first values, in the search and in the training
ALPHA_STD = 1e-3  # that of the alphas, as in the authors' program


class KeyPrompts(nn.Module):
    """The learned keys and values of a tower's first blocks.

    Args:
        lengths: the number of tokens of each block; in a search the largest number of each.
        width: the tower's width.
        generator: draws the first values; a CPU generator.
        search: whether to hold the candidates of a search; `lengths` are all equal then.
        late: experts, last blocks in which each of them has tokens of its own, and their number
            per block; None without.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        width: int,
        generator: torch.Generator,
        search: bool = False,
        late: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.candidates = tuple(range(1, lengths[0] + 1)) if search else ()
        counts = [sum(self.candidates)] * len(lengths) if search else lengths
        drawn = [TOKEN_STD * torch.randn(count, width, generator=generator) for count in counts]
        self.values = nn.ParameterList([nn.Parameter(tokens) for tokens in drawn])
        self.alphas = None
        if search:
            shape = len(lengths), 1 + len(self.candidates)
            self.alphas = nn.Parameter(ALPHA_STD * torch.randn(shape, generator=generator))
        if late is not None:
            drawn_late = torch.randn(*late, width, generator=generator)
            self.late = nn.Parameter(TOKEN_STD * drawn_late)

    def forward(self) -> KeyTokens:
        """Returns the tokens, with gradients; in a search with the weights of the candidates."""
        shares = None if self.alphas is None else self.alphas.softmax(dim=-1)
        return KeyTokens(tuple(self.values), self.candidates, shares)


@dataclass(frozen=True)
class ChosenLengths:
    """What a search chose for one tower."""

    lengths: tuple[int, ...]
    """The number of tokens of each block: the one with the largest weight."""
    margins: tuple[float, ...]
    """For each block, how much larger this softmax weight is than the second largest."""
    shares: tuple[tuple[float, ...], ...]
    """For each block the softmax weights of 0, 1, 2 ... tokens."""
    alphas: tuple[tuple[float, ...], ...]
    """For each block the alphas that these weights are the softmax of."""

    @classmethod
    def from_alphas(cls, alphas: Tensor) -> ChosenLengths:
        """Returns the choice by the alphas (blocks, 1 + candidates)."""
        shares = alphas.detach().cpu().softmax(dim=-1)
        best = shares.topk(2, dim=-1)
        rows = lambda values: tuple(tuple(row) for row in values.tolist())
        return cls(
            tuple(best.indices[:, 0].tolist()),
            tuple((best.values[:, 0] - best.values[:, 1]).tolist()),
            rows(shares),
            rows(alphas.detach().cpu()),
        )


def key_tokens_of(weights: Mapping[str, Tensor], prefix: str) -> KeyTokens | None:
    """Returns the learned keys and values of one tower from named weights; None without any.

    Args:
        weights: a model's parameters by name.
        prefix: what their names begin with, such as `vision.`.
    """
    start = f"{prefix}{VALUES}"
    blocks = {int(n.removeprefix(start)): v for n, v in weights.items() if n.startswith(start)}
    if not blocks:
        return None
    values = tuple(blocks[index] for index in sorted(blocks))
    alphas = weights.get(f"{prefix}{ALPHAS}")
    if alphas is None:
        return KeyTokens(values)
    return KeyTokens(values, tuple(range(1, alphas.shape[1])), alphas.softmax(dim=-1))


def with_saved_lengths(config: TrainConfig, weights: Mapping[str, Tensor]) -> TrainConfig:
    """Returns the settings with the numbers of tokens that a run's weights have.

    Args:
        config: the run's settings.
        weights: the run's weights; those of a finished run hold no alphas.
    """
    found: dict[str, Any] = {}
    for side, prefix in (("vision", "vision."), ("text", "prompts.keys.")):
        keys = key_tokens_of(weights, prefix)
        if keys is not None and getattr(config, f"{side}_insertion") == "keys":
            found |= {f"{side}_lengths": keys.counts, f"{side}_depth": len(keys.counts)}
    return replace(config, **found) if found else config


def check_text_depth(config: TrainConfig, transformer: nn.Module) -> None:
    """Raises UserError for a text tower that does not fit the learned tokens of its blocks.

    Args:
        config: the run's settings.
        transformer: the text tower's transformer.
    """
    blocks = len(list(getattr(transformer, "resblocks", ())))
    if config.text_depth > max(blocks, 1):
        count, choices = (f"{blocks} blocks", f"1 to {blocks}") if blocks > 1 else ("1 block", "1")
        raise UserError(
            f"text_depth is {config.text_depth}, but this CLIP's text tower has only {count}. "
            f"Choose {choices}."
        )
    if config.text_keys and not has_plain_attention(transformer):
        raise UserError(
            "This CLIP's text tower takes no learned keys and values (text_insertion keys): its "
            "blocks have no plain attention. Choose another backbone, such as "
            "ViT-B-16-quickgelu/openai, or text_insertion replace."
        )

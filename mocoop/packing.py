"""Prompts as tokens: class names, templates, and soft prompts packed without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mocoop.errors import UserError
from mocoop.templates import SLOT, fill

if TYPE_CHECKING:
    from mocoop.text import TextTower


@dataclass(frozen=True)
class ClassTokens:
    """Class names as token ids, counted by the tokenizer."""

    ids: Tensor  # (all tokens of all names,)
    lengths: Tensor  # (classes,)

    @classmethod
    def of(cls, tower: TextTower, names: Sequence[str]) -> ClassTokens:
        """Returns the tokens of the class names.

        Raises:
            UserError: for a name without any token.
        """
        ids = [tower.tokenizer.encode(name.replace("_", " ")) for name in names]
        for name, tokens in zip(names, ids, strict=True):
            if not tokens:
                raise UserError(f"Class name {name!r} has no word in it. Give it a real name.")
        device = tower.token_embedding.weight.device
        flat = torch.tensor([token for tokens in ids for token in tokens], device=device)
        return cls(flat, torch.tensor([len(tokens) for tokens in ids], device=device))

    def first(self, count: int) -> ClassTokens:
        """Returns the first classes alone."""
        return ClassTokens(self.ids[: int(self.lengths[:count].sum())], self.lengths[:count])


@dataclass(frozen=True)
class PromptBatch:
    """Soft prompts of all experts and classes, packed: every class's own tokens in a row.

    A (expert, class) pair owns `name_c after_g [EOS]`; pairs follow each other by expert,
    then class. `source` says for each packed token which row of `table()` it is.
    """

    start: Tensor  # (1, width), the embedding of [SOS]
    end: Tensor  # (1, width), the embedding of [EOS]
    names: Tensor  # (name tokens of all classes, width)
    before: tuple[Tensor, ...]  # per expert (tokens, width)
    after: tuple[Tensor, ...]  # per expert (tokens, width)
    shape: tuple[int, int]  # (experts, classes)
    before_lengths: Tensor  # (experts,)
    lengths: Tensor  # (experts * classes,), own tokens of each pair
    pair: Tensor  # (tokens,), which pair owns the token
    offset: Tensor  # (tokens,), its place among the pair's own tokens
    source: Tensor  # (tokens,), its row in `table()`

    @classmethod
    def build(
        cls,
        tower: TextTower,
        classes: ClassTokens,
        before: Sequence[Tensor],
        after: Sequence[Tensor],
        own_class: bool = False,
    ) -> PromptBatch:
        """Returns the packed prompts; gradients flow to `before` and `after`.

        Args:
            tower: the frozen text tower.
            classes: the class names.
            before: each expert's token block (tokens, width) left of the name.
            after: as many blocks right of it.
            own_class: there is a block for each expert and class, which belongs to that class
                alone; the shape is then (experts * classes, 1).

        Raises:
            UserError: if the longest prompt does not fit the context.
        """
        device = classes.ids.device
        num_experts, num_classes = len(before), 1 if own_class else len(classes.lengths)
        before_lengths = torch.tensor([len(b) for b in before], device=device)
        after_lengths = torch.tensor([len(a) for a in after], device=device)
        times = num_experts * num_classes // len(classes.lengths)  # a name's number of pairs
        name_lengths = classes.lengths.repeat(times)  # (pairs,)
        expert = torch.arange(num_experts, device=device).repeat_interleave(num_classes)
        lengths = name_lengths + after_lengths[expert] + 1
        longest = int((1 + before_lengths[expert] + lengths).max())
        tower.check_length(longest, "The longest class name with its context")

        pair = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
        offset = torch.arange(len(pair), device=device) - (lengths.cumsum(0) - lengths)[pair]
        # Rows of table(): names, then the after-blocks, then [EOS].
        name_starts = (classes.lengths.cumsum(0) - classes.lengths).repeat(times)
        after_starts = len(classes.ids) + after_lengths.cumsum(0) - after_lengths
        past_name = offset - name_lengths[pair]
        source = torch.where(
            past_name < 0, name_starts[pair] + offset, after_starts[expert[pair]] + past_name
        )
        source[lengths.cumsum(0) - 1] = len(classes.ids) + int(after_lengths.sum())

        embed = tower.token_embedding
        special = torch.tensor(
            [tower.tokenizer.sot_token_id, tower.tokenizer.eot_token_id], device=device
        )
        start, end = embed(special).split(1)
        return cls(
            start,
            end,
            embed(classes.ids),
            tuple(before),
            tuple(after),
            (num_experts, num_classes),
            before_lengths,
            lengths,
            pair,
            offset,
            source,
        )

    def table(self) -> Tensor:
        """Returns the distinct token embeddings that packed tokens are made of."""
        return torch.cat([self.names, *self.after, self.end])

    def prefix_causal_mask(self, prefix: Tensor) -> Tensor:
        """Returns the causal mask of the prefix, -inf where a token would look ahead."""
        size = prefix.shape[1]
        return torch.full((size, size), float("-inf"), device=prefix.device).triu(1)


def soft_tokens(tower: TextTower, template: str) -> tuple[Tensor, Tensor]:
    """Returns the token embeddings left and right of the class name in a template.

    Returns:
        `before` (tokens, width) and `after` (tokens, width), copies that can be trained.

    Raises:
        UserError: if the tokenizer would not split the filled template at its slot.
    """
    left, right = (tower.tokenizer.encode(part) for part in template.split("{}"))
    whole = tower.tokenizer.encode(fill(template, "cat"))
    if left + tower.tokenizer.encode("cat") + right != whole:
        raise UserError(
            f"Template {template!r} does not split at its {{}} into whole tokens. Put a space or "
            "punctuation on both sides of it."
        )
    weight = tower.token_embedding.weight.detach()
    pick = lambda ids: weight[torch.tensor(ids, dtype=torch.long, device=weight.device)].clone()
    return pick(left), pick(right)


def filled_tokens(tower: TextTower, template: str, names: Sequence[str]) -> Tensor:
    """Returns token ids (names, context) of a template filled with each class name.

    Raises:
        UserError: for a filled template longer than the context.
    """
    encode = tower.tokenizer.encode
    left, right = (encode(part) for part in template.split(SLOT))
    start, end = tower.tokenizer.sot_token_id, tower.tokenizer.eot_token_id
    tokens = torch.zeros(len(names), tower.context_length, dtype=torch.long)
    for row, name in enumerate(names):
        ids = [start, *left, *encode(name.replace("_", " ")), *right, end]
        tower.check_length(len(ids), fill(template, name))
        tokens[row, : len(ids)] = torch.tensor(ids)
    return tokens.to(tower.token_embedding.weight.device)

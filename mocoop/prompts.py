"""Soft prompts: one pair of token blocks, before and after the class name, per expert."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mocoop.packing import ClassTokens, PromptBatch, soft_tokens
from mocoop.text import TextTower


class SoftPrompts(nn.Module):
    """Context tokens of all experts, each started from the embeddings of one template.

    Args:
        tower: the frozen text tower.
        templates: the template that each expert starts from, in expert order.
        learn_after: whether the tokens after the class name are learnt too.
    """

    def __init__(self, tower: TextTower, templates: Sequence[str], learn_after: bool) -> None:
        super().__init__()
        blocks = [soft_tokens(tower, template) for template in templates]
        self.before = nn.ParameterList([nn.Parameter(before) for before, _ in blocks])
        self.after = nn.ParameterList(
            [nn.Parameter(after, requires_grad=learn_after) for _, after in blocks]
        )

    def forward(self, tower: TextTower, classes: ClassTokens) -> Tensor:
        """Returns text features (experts, classes, dim), not normalised."""
        return tower.encode_prompts(self.pack(tower, classes))

    def pack(self, tower: TextTower, classes: ClassTokens) -> PromptBatch:
        """Returns the prompts of all experts and classes, ready for the text tower."""
        return PromptBatch.build(tower, classes, list(self.before), list(self.after))

    @torch.no_grad()
    def nearest_words(self, tower: TextTower, count: int = 3) -> list[list[list[str]]]:
        """Returns the nearest vocabulary words of every token before the name, per expert."""
        table = nn.functional.normalize(tower.token_embedding.weight, dim=-1)
        found = []
        for before in self.before:
            near = (nn.functional.normalize(before, dim=-1) @ table.T).topk(count).indices
            found.append([[_word(tower, int(i)) for i in row] for row in near])
        return found


def _word(tower: TextTower, token: int) -> str:
    return tower.tokenizer.decode([token]).strip()

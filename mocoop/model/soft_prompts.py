"""Soft prompts: one pair of token blocks, before and after the class name, per expert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch, soft_tokens
from mocoop.templates import Groups

RANDOM_STD = 0.02  # of random context tokens, as in CoOp


@dataclass(frozen=True)
class Start:
    """Where one expert's prompt starts from: `before` name `after` `tail`."""

    before: Tensor  # (tokens, width), learnt
    after: Tensor  # (tokens, width), learnt if `learn_after`
    tail: Tensor  # (tokens, width), never learnt: the full stop of a context of words
    learn_after: bool


class SoftPrompts(nn.Module):
    """Context tokens of all experts.

    Args:
        begin: what each expert's prompt starts from, in expert order.
        num_classes: with class-specific contexts, how many classes have one; None shares
            each expert's context among all classes.
    """

    def __init__(self, begin: Sequence[Start], num_classes: int | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.learn_after = [start.learn_after for start in begin]

        def block(tokens: Tensor, learn: bool) -> nn.Parameter:
            if num_classes is not None:
                tokens = tokens.expand(num_classes, -1, -1)  # (classes, tokens, width)
            return nn.Parameter(tokens.clone(), requires_grad=learn)

        self.before = nn.ParameterList([block(start.before, True) for start in begin])
        self.after = nn.ParameterList([block(start.after, start.learn_after) for start in begin])
        for index, start in enumerate(begin):
            self.register_buffer(f"tail_{index}", start.tail, persistent=False)

    def forward(
        self, tower: TextTower, classes: ClassTokens, shift: Tensor | None = None
    ) -> Tensor:
        """Returns text features (experts, classes, dim), not normalised.

        Args:
            tower: the frozen text tower.
            classes: the class names.
            shift: vectors (images, width) that are added to the one expert's context; the
                images then take the place of the experts in the result.
        """
        batch = self.pack(tower, classes, shift)
        return tower.encode_prompts(batch).view(-1, len(classes.lengths), tower.dim)

    def pack(
        self, tower: TextTower, classes: ClassTokens, shift: Tensor | None = None
    ) -> PromptBatch:
        """Returns the prompts of all experts and classes, ready for the text tower."""
        ends = [
            torch.cat([after, self._tail(index, after)], dim=-2)
            for index, after in enumerate(self.after)
        ]
        before = list(self.before)
        if self.num_classes is not None:
            if len(classes.lengths) != self.num_classes:
                raise ValueError(f"contexts of {self.num_classes} classes only")
            own = [row for block in before for row in block]
            ends = [row for block in ends for row in block]
            return PromptBatch.build(tower.tokens, classes, own, ends, own_class=True)
        if shift is not None:
            moved = shift[:, None]  # (images, 1, width)
            before = list(before[0] + moved)  # per image (tokens, width)
            # Right of the name stand learnt tokens, or fixed ones, which no image moves.
            after = self.after[0] + moved * self.learn_after[0]
            ends = [torch.cat([row, self._tail(0, row)]) for row in after]
        return PromptBatch.build(tower.tokens, classes, before, ends)

    def _tail(self, index: int, after: Tensor) -> Tensor:
        tail = self.get_buffer(f"tail_{index}")
        return tail if self.num_classes is None else tail.expand(len(after), -1, -1)


def starts(
    config: TrainConfig, tower: TextTower, groups: Groups, generator: torch.Generator
) -> list[Start]:
    """Returns what every expert's prompt starts from.

    Args:
        config: `context_init` and what belongs to it, `learn_after`.
        tower: the frozen text tower.
        groups: one expert each; `template` takes each one's first template.
        generator: draws random tokens; a CPU generator.
    """
    if config.context_init == "template":
        first = (templates[0] for templates in groups.values())
        blocks = (soft_tokens(tower.tokens, template) for template in first)
        return [
            Start(before, after, after.new_zeros(0, tower.width), config.learn_after)
            for before, after in blocks
        ]
    _, tail = soft_tokens(tower.tokens, f"{config.context_words} {{}}.")
    found = []
    for _ in groups:
        context = _context(config, tower, generator)
        left = len(context) if config.name_position == "end" else len(context) // 2
        found.append(Start(context[:left], context[left:], tail, learn_after=True))
    return found


def _context(config: TrainConfig, tower: TextTower, generator: torch.Generator) -> Tensor:
    """Returns the first context (tokens, width): of words, or random."""
    if config.context_init == "words":
        return soft_tokens(tower.tokens, f"{config.context_words} {{}}.")[0]
    drawn = torch.randn(config.context_tokens, tower.width, generator=generator)
    return (RANDOM_STD * drawn).to(tower.tokens.embedding.weight.device)


class MetaNet(nn.Module):
    """CoCoOp's meta-net: the vector that an image adds to every context token.

    Linear(dim, dim / 16), ReLU, Linear(., width); Zhou et al., CVPR 2022 (arXiv 2203.05557).

    Args:
        dim: of the image features.
        width: of the context tokens.
        generator: draws the first weights, in the range of `nn.Linear`; a CPU generator.
    """

    def __init__(self, dim: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        hidden = max(1, dim // 16)
        self.squeeze = linear(dim, hidden, generator)
        self.expand = linear(hidden, width, generator)

    def forward(self, image_features: Tensor) -> Tensor:
        """Returns (batch, width) of normalised image features (batch, dim)."""
        return self.expand(self.squeeze(image_features).relu())


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Returns a linear layer with nn.Linear's own range of first weights, drawn seeded."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = inputs**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer

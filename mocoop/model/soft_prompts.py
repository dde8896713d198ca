"""Soft prompts: one pair of token blocks, before and after the class name, per expert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.key_prompts import KeyPrompts, check_text_depth
from mocoop.prompt_encoder.layout import ClassTokens, PromptBatch, soft_tokens
from mocoop.templates import END, SLOT, Groups

RANDOM_STD = 0.02  # standard deviation of random context tokens, as in CoOp
STOP = "."  # what a context of words or random tokens ends in


@dataclass(frozen=True)
class PromptStart:
    """The initial tokens of one expert's prompt: `before`, the class name, `after`, `tail`."""

    before: Tensor  # (tokens, width), learned if `learn_before`
    after: Tensor  # (tokens, width), learned if `learn_after`
    tail: Tensor  # (tokens, width), never learned: the full stop after a context of words
    learn_after: bool
    ending: str
    """The frozen words after the name, tokenised together with it; "" if those tokens learn."""
    lead: Tensor  # (tokens, width), never learned: words between `before` and the class name
    own_end: bool = False
    """Whether the last token of `after` is [EOS], which no other one follows."""
    learn_before: bool = True
    deep: Tensor | None = None
    """Tokens (layers, tokens of `before`, width), learned, that replace the outputs of `before`
    in front of the text tower's blocks 1 to `layers`; None without any."""


class SoftPrompts(nn.Module):
    """Context tokens of all experts.

    Args:
        starts: the initial tokens of each expert's prompt, in the order of the experts.
        num_classes: the number of classes if each has its own context; with None all classes
            share each expert's context.
        keys: learned keys and values of the text tower's blocks, which all experts share.
    """

    def __init__(
        self,
        starts: Sequence[PromptStart],
        num_classes: int | None = None,
        keys: KeyPrompts | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.learn_after = [start.learn_after for start in starts]
        self.endings = [start.ending for start in starts]
        self.own_end = [start.own_end for start in starts]

        def block(tokens: Tensor, learn: bool) -> nn.Parameter:
            if num_classes is not None:
                tokens = tokens.expand(num_classes, -1, -1)  # (classes, tokens, width)
            return nn.Parameter(tokens.clone(), requires_grad=learn)

        self.before = nn.ParameterList(
            [block(start.before, start.learn_before) for start in starts]
        )
        self.after = nn.ParameterList([block(start.after, start.learn_after) for start in starts])
        for index, start in enumerate(starts):
            self.register_buffer(f"tail_{index}", start.tail, persistent=False)
            self.register_buffer(f"lead_{index}", start.lead, persistent=False)
        deep = [start.deep for start in starts if start.deep is not None]
        self.deep = nn.ParameterList([nn.Parameter(tokens.clone()) for tokens in deep])
        self.keys = keys

    def forward(self, tower: TextTower, classes: ClassTokens, share: float = 1.0) -> Tensor:
        """Returns text features (experts, classes, dim), not normalised.

        Args:
            tower: the frozen text tower.
            classes: the class names.
            share: the share of the tower's memory for activations that these prompts may use.
        """
        batch = self.pack(tower, classes)
        return tower.encode_prompts(batch, share).view(-1, len(classes.lengths), tower.dim)

    def pack(self, tower: TextTower, classes: ClassTokens) -> PromptBatch:
        """Returns the prompts of all experts and classes as input of the text tower."""
        batch = self._with_keys(self._packed(tower, classes))
        return batch.with_deep(list(self.deep)) if len(self.deep) else batch

    def pack_expert(self, tower: TextTower, classes: ClassTokens, expert: int) -> PromptBatch:
        """Returns one expert's prompts of all classes, (1, classes), unchanged by any image."""
        nothing = self.before[expert].new_zeros(1, tower.width)
        beyond = 1 + len(tower.transformer.resblocks)
        return self.pack_shifted(tower, classes, expert, nothing, beyond)

    def pack_shifted(
        self,
        tower: TextTower,
        classes: ClassTokens,
        expert: int,
        shift: Tensor,
        first_block: int = 0,
    ) -> PromptBatch:
        """Returns one expert's prompts of all classes once for every image, (images, classes).

        Args:
            tower: the frozen text tower.
            classes: the class names.
            expert: the expert's index.
            shift: the vector of each image, (images, width), which is added to all learned tokens
                from `first_block` on. Tokens after the name belong to block 0.
            first_block: a block of the text tower; 0 is the context itself.
        """
        images, block, after = len(shift), self.before[expert], self.after[expert]
        offset = shift[:, None]  # (images, 1, width)
        if first_block == 0:
            before = block + offset  # (images, tokens, width)
            # The tokens after the name are shifted only if they are learned.
            behind = after + offset * self.learn_after[expert]
        else:
            before, behind = (part.expand(images, -1, -1) for part in (block, after))
        lead, tail = self._fixed("lead", expert, block), self._fixed("tail", expert, after)
        batch = PromptBatch.build(
            tower.tokens,
            classes,
            [torch.cat([row, lead]) for row in before],
            [torch.cat([row, tail]) for row in behind],
            endings=[self.endings[expert]] * images,
            own_end=[self.own_end[expert]] * images,
        )
        batch = self._with_keys(batch)
        if not len(self.deep):
            return batch
        deep = self.deep[expert]  # (layers, tokens, width), of block 1 and the later ones
        shifted = torch.arange(1, len(deep) + 1, device=deep.device) >= first_block
        own = deep + shifted[:, None, None] * shift[:, None, None]  # (images, layers, …)
        return batch.with_deep(list(own))

    def _with_keys(self, batch: PromptBatch) -> PromptBatch:
        """Returns the prompts with the learned keys and values, if there are any."""
        return batch if self.keys is None else replace(batch, keys=self.keys())

    def _packed(self, tower: TextTower, classes: ClassTokens) -> PromptBatch:
        """Returns the prompts of all experts and classes, without tokens of later blocks."""
        ends = [
            torch.cat([after, self._fixed("tail", index, after)], dim=-2)
            for index, after in enumerate(self.after)
        ]
        before = [
            torch.cat([block, self._fixed("lead", index, block)], dim=-2)
            for index, block in enumerate(self.before)
        ]
        if self.num_classes is not None:
            if len(classes.lengths) != self.num_classes:
                raise ValueError(f"contexts of {self.num_classes} classes only")
            own = [row for block in before for row in block]
            ends = [row for block in ends for row in block]
            texts = [ending for ending in self.endings for _ in range(self.num_classes)]
            lasts = [last for last in self.own_end for _ in range(self.num_classes)]
            return PromptBatch.build(tower.tokens, classes, own, ends, True, texts, lasts)
        return PromptBatch.build(
            tower.tokens, classes, before, ends, endings=self.endings, own_end=self.own_end
        )

    def _fixed(self, part: str, index: int, beside: Tensor) -> Tensor:
        """Returns an expert's frozen tokens, for each class where `beside` has one block each."""
        tokens = self.get_buffer(f"{part}_{index}")
        return tokens if self.num_classes is None else tokens.expand(len(beside), -1, -1)


def prompt_starts(
    config: TrainConfig, tower: TextTower, groups: Groups, generator: torch.Generator
) -> list[PromptStart]:
    """Returns the initial tokens of every expert's prompt.

    Args:
        config: `context_init` with the settings that it uses, and `learn_after`.
        tower: the frozen text tower.
        groups: groups of templates, one expert each; with `context_init` `template` an expert
            starts from its group's first template. Where that ends in `<end_of_text>`, [EOS] is
            one of the tokens after the name.
        generator: draws random tokens; a CPU generator.

    Raises:
        UserError: for learned tokens of blocks that do not fit the text tower.
    """
    check_text_depth(config, tower.transformer)
    return [
        _with_settings(start, config, generator)
        for start in _starts(config, tower, groups, generator)
    ]


def _with_settings(
    start: PromptStart, config: TrainConfig, generator: torch.Generator
) -> PromptStart:
    """Returns a prompt's start with the tokens that the settings freeze, or add in later blocks.

    Raises:
        UserError: if there are fewer tokens before the name than `learned_tokens`, or none to
            replace in later blocks.
    """
    before, lead = start.before, start.lead
    if config.learned_tokens:
        if len(before) < config.learned_tokens:
            raise UserError(
                f"learned_tokens is {config.learned_tokens}, but the prompt starts with only "
                f"{len(before)} tokens before the class name. Choose fewer, or start from other "
                "words (context_init words)."
            )
        before, lead = before[: config.learned_tokens], before[config.learned_tokens :]
    deep = None
    if config.text_depth > 1 and config.text_insertion == "replace":
        if not len(before):
            raise UserError(
                "text_depth is greater than 1, but the prompt starts with no token before the "
                "class name that later blocks could replace. Use context_init words."
            )
        shape = (config.text_depth - 1, *before.shape)
        deep = (RANDOM_STD * torch.randn(shape, generator=generator)).to(before)
    return replace(
        start,
        before=before,
        lead=lead,
        learn_before=config.learn_context,
        learn_after=start.learn_after and config.learn_context,
        deep=deep,
    )


def _starts(
    config: TrainConfig, tower: TextTower, groups: Groups, generator: torch.Generator
) -> list[PromptStart]:
    """Returns every expert's prompt as its words or random tokens, before other settings."""
    if config.context_init == "template":
        first = (templates[0] for templates in groups.values())
        starts = []
        for template in first:
            before, after = soft_tokens(tower.tokens, template)
            ending = "" if config.learn_after else template.split(SLOT)[1]
            tail = after.new_zeros(0, tower.width)
            own_end = template.endswith(END)
            starts.append(
                PromptStart(before, after, tail, config.learn_after, ending, tail, own_end)
            )
        return starts
    _, tail = soft_tokens(tower.tokens, f"{config.context_words} {{}}{STOP}")
    starts = []
    for _ in groups:
        context = _context(config, tower, generator)
        places = {"end": len(context), "middle": len(context) // 2, "front": 0}
        split = places[config.name_position]
        ending = STOP if split == len(context) else ""
        none = tail[:0]
        starts.append(PromptStart(context[:split], context[split:], tail, True, ending, none))
    return starts


def text_keys(
    config: TrainConfig, tower: TextTower, generator: torch.Generator
) -> KeyPrompts | None:
    """Returns the untrained keys and values of the text tower's blocks; None without any."""
    if not config.text_keys:
        return None
    return KeyPrompts(config.text_keys, tower.width, generator, config.searches_text)


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Returns a linear layer with nn.Linear's range of initial weights, from a generator."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = inputs**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def _context(config: TrainConfig, tower: TextTower, generator: torch.Generator) -> Tensor:
    """Returns the initial context (tokens, width): of words, or random."""
    if config.context_init == "words":
        return soft_tokens(tower.tokens, f"{config.context_words} {{}}{STOP}")[0]
    drawn = torch.randn(config.context_tokens, tower.width, generator=generator)
    return (RANDOM_STD * drawn).to(tower.tokens.embedding.weight.device)

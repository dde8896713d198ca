"""Prompts as tokens: class names, templates, and the token positions of soft prompts.

CLIP's tokenizer reads punctuation that stands together as one piece: "cat (tom)." ends in the
token `).`, not in `)` and `.`. Hard prompts, and the frozen words right of a class name, are
therefore tokenised together with the name. Where learned tokens stand beside the name there is
no sentence to be read: the name is tokenised alone then, and the learned tokens start from the
template's own tokens. A name that ends in punctuation can so start a little apart from its
hard prompt; left of the name, one that begins with punctuation can only where the template has
no space before its slot. No other name makes a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mocoop.errors import UserError
from mocoop.prompt_encoder.key_tokens import KeyTokens
from mocoop.prompt_encoder.tiles import Chunk, lay_out
from mocoop.prompt_encoder.tokens import TokenTable
from mocoop.templates import END, SLOT, fill


class ClassTokens:
    """Class names as token ids; it also caches the prompt layouts for these names.

    Args:
        ids: the tokens of all names, one name after the other, (tokens,).
        lengths: the number of tokens of each name, (classes,).
        names: the names themselves.
        table: the tokenizer that the ids come from.
    """

    def __init__(
        self, ids: Tensor, lengths: Tensor, names: Sequence[str], table: TokenTable
    ) -> None:
        self.ids = ids
        self.lengths = lengths
        self.names = tuple(names)
        self._table = table
        self._layouts: dict[tuple[object, ...], PromptLayout] = {}
        self._first: dict[int, ClassTokens] = {}

    @classmethod
    def from_names(cls, table: TokenTable, names: Sequence[str]) -> ClassTokens:
        """Returns the tokens of the class names.

        Raises:
            UserError: for a name without any token.
        """
        ids = [table.encode(fill(SLOT, name)) for name in names]
        for name, tokens in zip(names, ids, strict=True):
            if not tokens:
                raise UserError(
                    f"Class name {name!r} contains no word. Give the class a name with words."
                )
        flat = torch.tensor([token for tokens in ids for token in tokens], device=table.device)
        lengths = torch.tensor([len(tokens) for tokens in ids], device=table.device)
        return cls(flat, lengths, names, table)

    def first(self, count: int) -> ClassTokens:
        """Returns only the first `count` classes; the same object every time."""
        if count == len(self.names):
            return self
        if count not in self._first:
            ids = self.ids[: int(self.lengths[:count].sum())]
            own = ClassTokens(ids, self.lengths[:count], self.names[:count], self._table)
            self._first[count] = own
        return self._first[count]

    def joined(self, ending: str) -> dict[int, list[int]]:
        """Returns label → tokens of name and ending, where the two are read as one piece.

        Args:
            ending: the words that follow every name, such as ".".
        """
        apart = self._table.encode(ending)
        found = {}
        for label, name in enumerate(self.names):
            text = fill(SLOT, name)
            whole = self._table.encode(text + ending)
            if whole != self._table.encode(text) + apart:
                found[label] = whole
        return found

    def layout(
        self,
        before_lengths: Sequence[int],
        after_lengths: Sequence[int],
        own_class: bool,
        endings: Sequence[str] = (),
        own_end: Sequence[bool] = (),
    ) -> PromptLayout:
        """Returns the layout of prompts with token blocks of these lengths; cached."""
        lengths = tuple(before_lengths), tuple(after_lengths)
        key = (*lengths, own_class, tuple(endings), tuple(own_end))
        if key not in self._layouts:
            layout = PromptLayout.build(self, *lengths, own_class, endings, own_end)
            self._layouts[key] = layout
        return self._layouts[key]


class PromptLayout:
    """The positions of all tokens in every prompt; they stay the same during a training.

    A token is given by its row in the table of embeddings. The rows are [SOS], [EOS], padding,
    the tokens of the names, those of names joined with the words after them, the blocks before
    the name, and the blocks after the name.

    Args:
        prompts: the tokens of each (expert, class) pair, as rows of the table.
        before_lengths: the number of tokens before the name, (experts,).
        first_before: the row of the first token before a name; the others follow it.
        joined: the ids of names joined with the words after them, one after the other.
        device: the device of the resulting tensors.
        same: a number for each row of the table, equal for equal tokens, (table rows,).
    """

    def __init__(
        self,
        prompts: tuple[np.ndarray, ...],
        before_lengths: np.ndarray,
        first_before: int,
        joined: Tensor,
        device: torch.device,
        same: np.ndarray,
    ) -> None:
        self.prompts = prompts
        self.before_lengths = before_lengths
        self.first_before = first_before
        self.joined = joined
        self.device = device
        self.same = same
        self._tiled: dict[tuple[int, bool], list[Chunk]] = {}
        self.rows_below: dict[int, list[Tensor]] = {}  # filled by `shared_blocks.rows_in`

    @classmethod
    def build(
        cls,
        classes: ClassTokens,
        before_lengths: Sequence[int],
        after_lengths: Sequence[int],
        own_class: bool,
        endings: Sequence[str] = (),
        own_end: Sequence[bool] = (),
    ) -> PromptLayout:
        """Returns the layout of `PromptBatch.build` for token blocks of these lengths."""
        names = np.split(np.arange(len(classes.ids)) + 3, np.cumsum(classes.lengths.tolist())[:-1])
        ids: list[int] = []
        rows: dict[tuple[str, int], np.ndarray] = {}  # of names with what follows them
        for ending in filter(None, dict.fromkeys(endings)):
            for label, whole in classes.joined(ending).items():
                rows[ending, label] = np.arange(len(whole)) + 3 + len(classes.ids) + len(ids)
                ids += whole
        blocks = np.cumsum([3 + len(classes.ids) + len(ids), *before_lengths, *after_lengths])
        prompts = []
        for expert in range(len(before_lengths)):
            left, right = expert, len(before_lengths) + expert
            before = np.arange(blocks[left], blocks[left + 1])
            after = np.arange(blocks[right], blocks[right + 1])
            ending = endings[expert] if endings else ""
            last = [] if own_end and own_end[expert] else [1]
            for label in [expert % len(names)] if own_class else range(len(names)):
                own = rows.get((ending, label))
                parts = [names[label], after] if own is None else [own]
                prompts.append(np.concatenate([[0], before, *parts, last]).astype(int))
        joined = classes.ids.new_tensor(ids)
        lengths, device = np.asarray(before_lengths), classes.ids.device
        # Special tokens and those of the blocks are equal to no others.
        own = -1 - np.arange(3 + blocks[-1] - blocks[0])
        same = np.concatenate([own[:3], classes.ids.cpu().numpy(), ids, own[3:]]).astype(int)
        return cls(tuple(prompts), lengths, int(blocks[0]), joined, device, same)

    @property
    def shape(self) -> tuple[int, int]:
        """(experts, classes); with class-specific contexts (experts * classes, 1)."""
        return len(self.before_lengths), len(self.prompts) // len(self.before_lengths)

    @property
    def longest(self) -> int:
        """The number of tokens of the longest prompt."""
        return max(len(prompt) for prompt in self.prompts)

    def chunks(self, limit: int, share: bool = True) -> list[Chunk]:
        """Returns the prompts in tiles, in chunks of about `limit` rows; cached.

        Args:
            limit: approximate number of rows in a chunk.
            share: whether class names that begin with the same tokens may share these.
        """
        if (limit, share) not in self._tiled:
            self._tiled[limit, share] = lay_out(
                self.prompts,
                self.before_lengths,
                limit,
                self.device,
                self.same if share else None,
            )
        return self._tiled[limit, share]

    def deep_places(self, source: Tensor, counts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Returns which rows have learned tokens in later blocks, and which tokens these are.

        Args:
            source: the index of each row's token in the table of embeddings, (rows,).
            counts: for each block of `before` how many of its first tokens have such tokens.

        Returns:
            Two tensors of the same length: indices of rows, and of the tokens, counted through
            all blocks.
        """
        first = self.first_before
        starts = first + np.cumsum([0, *self.before_lengths[:-1]])
        own = np.concatenate([np.arange(a, a + n) for a, n in zip(starts, counts, strict=True)])
        token = torch.full((first + int(sum(self.before_lengths)),), -1, device=source.device)
        token[torch.as_tensor(own, device=source.device)] = torch.arange(
            len(own), device=source.device
        )
        # Rows after all blocks of `before` belong to no learned token: they read the last entry.
        known = torch.cat([token, token.new_tensor([-1])])
        found = known[source.clamp(max=len(token))]
        places = (found >= 0).nonzero().flatten()
        return places, found[places]

    def padded(self, length: int) -> tuple[Tensor, Tensor]:
        """Returns the prompts as rows of the table (pairs, length), and each [EOS] position."""
        grid = np.full((len(self.prompts), length), 2)
        for row, prompt in enumerate(self.prompts):
            grid[row, : len(prompt)] = prompt
        ends = torch.tensor([len(prompt) - 1 for prompt in self.prompts], device=self.device)
        return torch.as_tensor(grid, device=self.device), ends


@dataclass(frozen=True)
class PromptBatch:
    """Soft prompts of all experts and classes: token embeddings, and their positions."""

    table: Tensor  # (distinct tokens, width), the embeddings of all tokens in the prompts
    layout: PromptLayout
    deep: Tensor | None = None
    """Learned tokens (layers, tokens, width) that replace the outputs of the first tokens of each
    block of `before`, in front of the tower's blocks 1 to `layers`; None without any."""
    deep_counts: tuple[int, ...] = ()
    """How many of these tokens belong to each block of `before`."""
    keys: KeyTokens | None = None
    """Learned tokens that are only keys and values of the tower's first blocks, the same for all
    prompts; None without any."""

    @property
    def requires_grad(self) -> bool:
        """Whether any token is learned."""
        parts = (self.table, self.deep, self.keys)
        return any(part is not None and part.requires_grad for part in parts)

    def with_deep(self, deep: Sequence[Tensor]) -> PromptBatch:
        """Returns the prompts with learned tokens in later blocks of the text tower.

        Args:
            deep: for each block of `before` the tokens (layers, tokens, width), at most as many
                as the block has.
        """
        return replace(
            self, deep=torch.cat(list(deep), dim=1), deep_counts=tuple(d.shape[1] for d in deep)
        )

    @classmethod
    def build(
        cls,
        table: TokenTable,
        classes: ClassTokens,
        before: Sequence[Tensor],
        after: Sequence[Tensor],
        own_class: bool = False,
        endings: Sequence[str] = (),
        own_end: Sequence[bool] = (),
    ) -> PromptBatch:
        """Returns the prompts; gradients flow to `before` and `after`.

        Args:
            table: the tokenizer and embeddings of the frozen text tower.
            classes: the class names.
            before: each expert's token block (tokens, width) before the name.
            after: each expert's token block (tokens, width) after the name.
            own_class: whether there is a block for each (expert, class) pair, used for that class
                only; the shape is then (experts * classes, 1).
            endings: for each block of `after` its words, if it is frozen, or "" if it is learned.
                A name that the tokenizer reads together with them is tokenised with them.
            own_end: for each block of `after` whether its last token is [EOS], learned or not, so
                that the prompt is read there; by default the table's [EOS] follows every block.

        Raises:
            UserError: if the longest prompt is longer than the context.
        """
        before_lengths, after_lengths = [len(b) for b in before], [len(a) for a in after]
        layout = classes.layout(before_lengths, after_lengths, own_class, endings, own_end)
        table.check_length(layout.longest, "The longest class name with its context")
        special = classes.ids.new_tensor([table.start, table.end, 0])
        fixed = table.embedding(torch.cat([special, classes.ids, layout.joined]))
        return cls(torch.cat([fixed, *before, *after]), layout)

    @property
    def shape(self) -> tuple[int, int]:
        """(experts, classes); with class-specific contexts (experts * classes, 1)."""
        return self.layout.shape


def soft_tokens(table: TokenTable, template: str) -> tuple[Tensor, Tensor]:
    """Returns the token embeddings before and after the class name in a template.

    Returns:
        `before` (tokens, width) and `after` (tokens, width), copies that can be trained.

    Raises:
        UserError: if a token of the filled template would cross the edge of the class name.
    """
    left, right = (table.encode(part) for part in template.split(SLOT))
    if left + table.encode("cat") + right != table.encode(fill(template, "cat")):
        raise UserError(
            f"Template {template!r} cannot be split at its {{}} into whole tokens. Put a space or "
            "punctuation on both sides of the {}."
        )
    return table.embed(left), table.embed(right)


def filled_tokens(table: TokenTable, template: str, names: Sequence[str]) -> Tensor:
    """Returns token ids (names, context) of a template filled with each class name.

    Each sentence is tokenised as a whole, as CLIP's tokenizer does it. It ends in one [EOS], also
    if the template has one.

    Raises:
        UserError: for a filled template longer than the context.
    """
    tokens = torch.zeros(len(names), table.context_length, dtype=torch.long)
    for row, name in enumerate(names):
        text = fill(template.removesuffix(END), name)
        ids = [table.start, *table.encode(text), table.end]
        table.check_length(len(ids), text)
        tokens[row, : len(ids)] = torch.tensor(ids)
    return tokens.to(table.device)

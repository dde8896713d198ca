"""The text tower: the plain encoder, and the exact shared-prefix encoder of soft prompts.

In a causal tower that pools at [EOS], two savings do not change the result. Tokens after [EOS]
are left out. And the prefix `[SOS] before_g`, which does not depend on the class, runs once per
expert; the own tokens of every class, `name_c after_g [EOS]`, attend to its keys and values.
Prompts are encoded in chunks (`prompt_encoder/tiles.py`, `prompt_encoder/frozen_blocks.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from open_clip import SimpleTokenizer
from open_clip.transformer import Transformer
from torch import Tensor, nn

from mocoop.clip.device import activation_memory
from mocoop.clip.low_rank import LowRank
from mocoop.errors import UserError
from mocoop.prompt_encoder.block_weights import BlockWeights, CastBlocks, is_supported
from mocoop.prompt_encoder.frozen_blocks import FrozenBlocks, kept_bytes
from mocoop.prompt_encoder.key_tokens import KeyTokens
from mocoop.prompt_encoder.layout import PromptBatch, filled_tokens
from mocoop.prompt_encoder.learned_keys import KeyPlan
from mocoop.prompt_encoder.shared_blocks import SharedStates, shared_states, upper_blocks
from mocoop.prompt_encoder.tokens import TokenTable

# Rows that are encoded together. On a CPU, the activations of 1024 rows stay in the caches and in
# memory that is already allocated; a GPU needs many rows to be fully used.
CHUNK_ROWS = {"cpu": 1024, "other": 16384}


@dataclass(frozen=True)
class TextTower:
    """The parts of an open_clip text tower, which CLIP and CustomTextCLIP store differently."""

    tokens: TokenTable
    positional_embedding: Tensor  # (context, width)
    transformer: Transformer
    ln_final: nn.Module
    projection: Callable[[Tensor], Tensor]
    causal_mask: Tensor | None  # (context, context); None if tokens see later tokens
    pool: str  # the token whose output is the feature: argmax or eos ([EOS]), first, last
    memory: int
    """Bytes of activations that a step may keep for its backward pass."""
    chunk_rows: int
    """Approximate number of tokens that are encoded together."""
    blocks: CastBlocks = field(repr=False)
    """The weights of the transformer's blocks."""
    updates: LowRank | None = field(default=None, repr=False)
    """Low-rank updates of the attention of every block; None without any."""

    @classmethod
    def from_model(cls, model: nn.Module, tokenizer: object) -> TextTower:
        """Returns the tower of an open_clip model.

        Raises:
            UserError: for a tower or tokenizer that does not support soft prompts.
        """
        tower: Any = getattr(model, "text", model)
        if not hasattr(tower, "positional_embedding") or not isinstance(
            tokenizer, SimpleTokenizer
        ):
            raise UserError(
                "This CLIP's text tower does not support soft prompts: expected open_clip's text "
                f"transformer with CLIP's tokenizer, got {type(tower).__name__} with "
                f"{type(tokenizer).__name__}. Choose another backbone."
            )
        if getattr(tower, "cls_emb", None) is not None:
            raise UserError(
                "This CLIP's text tower does not support soft prompts: it appends its own class "
                "token (CoCa). Choose another backbone."
            )
        device = tower.positional_embedding.device
        projection = tower.text_projection
        if isinstance(projection, Tensor):
            matrix = projection
            project: Callable[[Tensor], Tensor] = lambda x: x @ matrix
        else:
            project = projection or nn.Identity()
        pool: Any = getattr(model, "text_pool_type", None) or getattr(tower, "pool_type", "argmax")
        return cls(
            TokenTable(tokenizer, tower.token_embedding, len(tower.positional_embedding)),
            tower.positional_embedding,
            tower.transformer,
            tower.ln_final,
            project,
            tower.attn_mask,
            pool,
            activation_memory(device),
            CHUNK_ROWS["cpu" if device.type == "cpu" else "other"],
            CastBlocks(tower.transformer.resblocks),
        )

    @property
    def width(self) -> int:
        """Width of the token embeddings."""
        return self.tokens.embedding.embedding_dim

    @property
    def dim(self) -> int:
        """Size of the joint embedding."""
        return int(self.projection(self.positional_embedding[:1]).shape[-1])

    @property
    def context_length(self) -> int:
        """Largest number of tokens, including [SOS] and [EOS]."""
        return self.tokens.context_length

    @property
    def shares_prefixes(self) -> bool:
        """Whether the shared-prefix encoder is exact for this tower, whose blocks are frozen."""
        blocks = self.transformer.resblocks
        return (
            self.updates is None
            and self.can_shorten
            and all(is_supported(block) for block in blocks)
        )

    @property
    def can_shorten(self) -> bool:
        """Whether tokens after [EOS] do not change the result: causal, and pooled at [EOS]."""
        return self.causal_mask is not None and self.pool in ("argmax", "eos")

    def with_updates(self, updates: LowRank | None) -> TextTower:
        """Returns this tower with low-rank updates; itself without any."""
        return self if updates is None else replace(self, updates=updates)

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Returns text features (texts, dim), not normalised, of token ids (texts, context)."""
        ends = self._ends(tokens)
        length = int(ends.max()) + 1 if self.can_shorten else tokens.shape[1]
        return self._encode(self.tokens.embedding(tokens[:, :length]), ends)

    def encode_template(self, template: str, names: Sequence[str]) -> Tensor:
        """Returns L2-normalised features (names, dim), fp32, of a template filled with names.

        Every sentence is tokenised as a whole, as CLIP's tokenizer does it.
        """
        return F.normalize(self.encode_template_raw(template, names), dim=-1)

    @torch.no_grad()
    def encode_template_raw(self, template: str, names: Sequence[str]) -> Tensor:
        """Returns the features (names, dim), fp32, as the tower gives them, not normalised."""
        return self.encode_tokens(filled_tokens(self.tokens, template, names)).float()

    def encode_prompts_plain(self, prompts: PromptBatch) -> Tensor:
        """Returns features of soft prompts by the tower's own forward pass over all 77 tokens.

        With low-rank updates, only over the tokens up to the longest prompt's [EOS].
        """
        short = self.updates is not None and self.can_shorten
        rows, ends = prompts.layout.padded(
            prompts.layout.longest if short else self.context_length
        )
        embedded = F.embedding(rows, prompts.table)
        if prompts.deep is None and prompts.keys is None:
            return self._encode(embedded, ends).view(*prompts.shape, -1)
        layout, deep = prompts.layout, prompts.deep
        places = rows.new_zeros(0)
        if deep is not None:
            places, which = layout.deep_places(rows.flatten(), prompts.deep_counts)
            deep = deep[:, which]
        length = embedded.shape[1]
        x, mask = embedded + self.positional_embedding[:length], self._mask(length)
        for number, block in enumerate(self.transformer.resblocks):
            if deep is not None and 0 < number <= len(deep):
                x = x.flatten(0, 1).index_copy(0, places, deep[number - 1]).view_as(x)
            x = self._block(number, block, x, mask, prompts.keys)
        return self._pooled(x, ends).view(*prompts.shape, -1)

    def encode_prompts(self, prompts: PromptBatch, share: float = 1.0) -> Tensor:
        """Returns features (experts, classes, dim) of soft prompts, not normalised.

        Uses the shared-prefix encoder if it is exact, else the plain one. With low-rank updates
        it is the plain one, since the blocks are not frozen then. In autocast, products
        run in its dtype. Up to `memory` bytes of activations are kept for the backward pass;
        other chunks are encoded twice, which does not change a bit of the result.

        Args:
            prompts: the prompts.
            share: the share of `memory` for these prompts, if a step encodes others as well.
        """
        if not self.shares_prefixes:
            return self.encode_prompts_plain(prompts)
        blocks = self._weights(prompts)
        chunks = prompts.layout.chunks(self.chunk_rows)
        memory_left = self._memory(prompts.requires_grad, share)
        keys = prompts.keys
        beside: tuple[Any, ...] = ()
        if keys is not None:
            beside = KeyPlan(keys.counts, keys.lengths), keys.flat, keys.shares
        parts = []
        for chunk in chunks:
            embedded = F.embedding(chunk.source, prompts.table)
            rows = embedded + self.positional_embedding[chunk.position]
            memory_left -= kept_bytes(chunk, blocks, () if keys is None else keys.counts)
            places = deep = None
            if prompts.deep is not None:
                places, which = prompts.layout.deep_places(chunk.source, prompts.deep_counts)
                deep = prompts.deep[:, which]
            keep = memory_left >= 0
            parts.append(FrozenBlocks.apply(rows, chunk, blocks, keep, places, deep, *beside))
        order = torch.cat([chunk.pairs for chunk in chunks]).argsort()
        pooled = self.projection(self.ln_final(torch.cat(parts)[order]))
        return pooled.view(*prompts.shape, -1)

    def shared_states(self, prompts: PromptBatch, first: int, share: float = 1.0) -> SharedStates:
        """Returns the output of the blocks below block `first` for one expert's prompts.

        Args:
            prompts: the prompts (1, classes).
            first: the first block that images change, at least 1.
            share: the share of `memory` for these prompts.
        """
        memory = self._memory(prompts.requires_grad, share)
        blocks = self._weights(prompts)[:first]
        return shared_states(prompts, self.positional_embedding, blocks, self.chunk_rows, memory)

    def encode_above(
        self,
        shared: SharedStates,
        prompts: PromptBatch,
        first: int,
        share: float = 1.0,
    ) -> Tensor:
        """Returns features (images, classes, dim), not normalised, of prompts that images change.

        Args:
            shared: the output of the blocks below, from `shared_states`.
            prompts: the prompts (images, classes) with their learned tokens of all blocks, of
                which only those from `first` on differ from those of `shared`.
            first: the first block that images change, at least 1.
            share: the share of `memory` for these prompts.
        """
        assert prompts.deep is not None
        pooled = upper_blocks(
            shared, prompts.layout, prompts.deep[first - 1 :], prompts.deep_counts[0],
            self._weights(prompts)[first:], self.chunk_rows,
            self._memory(prompts.requires_grad or shared.states.requires_grad, share),
        )  # fmt: skip
        return self.projection(self.ln_final(pooled)).view(*prompts.shape, -1)

    def _weights(self, prompts: PromptBatch) -> list[BlockWeights]:
        """Returns the blocks' weights in the dtype of autocast, or of the prompts."""
        device = prompts.table.device.type
        autocast = torch.is_autocast_enabled(device)
        return self.blocks.weights(
            torch.get_autocast_dtype(device) if autocast else prompts.table.dtype
        )

    def _memory(self, learned: bool, share: float) -> int:
        """Returns the bytes of activations that may be kept for a backward pass."""
        return int(share * self.memory) if torch.is_grad_enabled() and learned else 0

    def _encode(self, embedded: Tensor, ends: Tensor) -> Tensor:
        length = embedded.shape[1]
        x = embedded + self.positional_embedding[:length]
        mask = self._mask(length)
        if self.updates is None:
            return self._pooled(self.transformer(x, attn_mask=mask), ends)
        for number, block in enumerate(self.transformer.resblocks):
            x = self._block(number, block, x, mask)
        return self._pooled(x, ends)

    def _mask(self, length: int) -> Tensor | None:
        """Returns the causal mask (length, length), or None."""
        return None if self.causal_mask is None else self.causal_mask[:length, :length]

    def _block(
        self,
        number: int,
        block: nn.Module,
        x: Tensor,
        mask: Tensor | None,
        keys: KeyTokens | None = None,
    ) -> Tensor:
        """Returns a block's output (texts, tokens, width)."""
        learned = None if keys is None else keys.of_block(number)
        if learned is not None:
            assert self.updates is None, "no low-rank updates beside learned keys and values"
            return learned.output(block, x, mask)
        if self.updates is None:
            return block(x, attn_mask=mask)
        return self.updates.lean_block(number, block, x, mask, self.memory)

    def _pooled(self, x: Tensor, ends: Tensor) -> Tensor:
        """Returns text features (texts, dim) of the last block's output (texts, tokens, width)."""
        length, x = x.shape[1], self.ln_final(x)
        rows = torch.arange(len(x), device=x.device)
        position = {"first": torch.zeros_like(ends), "last": torch.full_like(ends, length - 1)}
        return self.projection(x[rows, position.get(self.pool, ends)])

    def _ends(self, tokens: Tensor) -> Tensor:
        """Returns the position of [EOS] in each row: the token with the largest id."""
        return tokens.argmax(dim=-1)

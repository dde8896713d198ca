"""The text tower: the plain encoder, and the exact shared-prefix encoder of soft prompts.

A causal tower that pools at [EOS] allows two savings that change no result: tokens after
[EOS] are left out, and `[SOS] before_g`, which no class can influence, runs once per expert
while every class's own tokens `name_c after_g [EOS]` attend to its keys and values. Chunks of
prompts go through one after the other (`tiles.py`, `frozen_blocks.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from open_clip import SimpleTokenizer
from open_clip.transformer import Transformer
from torch import Tensor, nn

from mocoop.clip.device import activation_memory
from mocoop.errors import UserError
from mocoop.prompt_encoder.frozen_blocks import CastBlocks, FrozenBlocks, is_supported, kept_bytes
from mocoop.prompt_encoder.layout import PromptBatch, filled_tokens
from mocoop.prompt_encoder.tokens import TokenTable

# Rows that are encoded together. On a CPU their activations then stay in its caches and in
# memory that is at hand already; a GPU needs many rows to be busy.
CHUNK_ROWS = {"cpu": 1024, "other": 16384}


@dataclass(frozen=True)
class TextTower:
    """The parts of an open_clip text tower, which CLIP and CustomTextCLIP keep apart."""

    tokens: TokenTable
    positional_embedding: Tensor  # (context, width)
    transformer: Transformer
    ln_final: nn.Module
    projection: Callable[[Tensor], Tensor]
    causal_mask: Tensor | None  # (context, context); None if tokens see what follows
    pool: str
    memory: int
    """Bytes of activations that a step may keep for its backward pass."""
    chunk_rows: int
    """Tokens that are encoded together, about."""
    blocks: CastBlocks = field(repr=False)
    """The weights of the transformer's blocks."""

    @classmethod
    def from_model(cls, model: nn.Module, tokenizer: object) -> TextTower:
        """Returns the tower of an open_clip model.

        Raises:
            UserError: for a tower or tokenizer that takes no soft prompts.
        """
        tower: Any = getattr(model, "text", model)
        if not hasattr(tower, "positional_embedding") or not isinstance(
            tokenizer, SimpleTokenizer
        ):
            raise UserError(
                "This CLIP's text tower takes no soft prompts: expected open_clip's own text "
                f"transformer with CLIP's tokenizer, got {type(tower).__name__} with "
                f"{type(tokenizer).__name__}. Choose another backbone."
            )
        if getattr(tower, "cls_emb", None) is not None:
            raise UserError(
                "This CLIP's text tower takes no soft prompts: it appends a class token of its "
                "own (CoCa). Choose another backbone."
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
        """Largest number of tokens, [SOS] and [EOS] included."""
        return self.tokens.context_length

    @property
    def shares_prefixes(self) -> bool:
        """Whether the shared-prefix encoder is exact for this tower."""
        blocks = self.transformer.resblocks
        return (
            self.causal_mask is not None
            and self.pool in ("argmax", "eos")
            and all(is_supported(block) for block in blocks)
        )

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Returns text features (texts, dim), not normalised, of token ids (texts, context)."""
        ends = self._ends(tokens)
        # A causal tower that pools at [EOS] never looks at what follows it.
        short = self.causal_mask is not None and self.pool in ("argmax", "eos")
        length = int(ends.max()) + 1 if short else tokens.shape[1]
        return self._encode(self.tokens.embedding(tokens[:, :length]), ends)

    def encode_template(self, template: str, names: Sequence[str]) -> Tensor:
        """Returns L2-normalised features (names, dim), fp32, of a template filled with names.

        Template and name are tokenised apart, as in soft prompts, which matters only for a
        name that ends in punctuation.
        """
        with torch.no_grad():
            features = self.encode_tokens(filled_tokens(self.tokens, template, names))
            return F.normalize(features.float(), dim=-1)

    def encode_prompts_plain(self, prompts: PromptBatch) -> Tensor:
        """Returns features of soft prompts by the tower's own forward, all 77 tokens."""
        rows, ends = prompts.layout.padded(self.context_length)
        return self._encode(F.embedding(rows, prompts.table), ends).view(*prompts.shape, -1)

    def encode_prompts(self, prompts: PromptBatch) -> Tensor:
        """Returns features (experts, classes, dim) of soft prompts, not normalised.

        Takes the shared-prefix path where it is exact, and the plain one elsewhere. In autocast,
        products run in its dtype. Activations are kept for the backward pass up to `memory`
        bytes; chunks beyond that are encoded twice, which changes no bit of the result.
        """
        if not self.shares_prefixes:
            return self.encode_prompts_plain(prompts)
        device = prompts.table.device.type
        blocks = self.blocks.weights(
            torch.get_autocast_dtype(device)
            if torch.is_autocast_enabled(device)
            else prompts.table.dtype
        )
        chunks = prompts.layout.chunks(self.chunk_rows)
        learning = torch.is_grad_enabled() and prompts.table.requires_grad
        left = self.memory if learning else 0
        parts = []
        for chunk in chunks:
            embedded = F.embedding(chunk.source, prompts.table)
            rows = embedded + self.positional_embedding[chunk.position]
            left -= kept_bytes(chunk, blocks)
            parts.append(FrozenBlocks.apply(rows, chunk, blocks, left >= 0))
        order = torch.cat([chunk.pairs for chunk in chunks]).argsort()
        pooled = self.projection(self.ln_final(torch.cat(parts)[order]))
        return pooled.view(*prompts.shape, -1)

    def _encode(self, embedded: Tensor, ends: Tensor) -> Tensor:
        length = embedded.shape[1]
        x = embedded + self.positional_embedding[:length]
        mask = None if self.causal_mask is None else self.causal_mask[:length, :length]
        x = self.ln_final(self.transformer(x, attn_mask=mask))
        rows = torch.arange(len(x), device=x.device)
        place = {"first": torch.zeros_like(ends), "last": torch.full_like(ends, length - 1)}
        return self.projection(x[rows, place.get(self.pool, ends)])

    def _ends(self, tokens: Tensor) -> Tensor:
        """Returns the position of [EOS] in each row; it has the largest id."""
        return tokens.argmax(dim=-1)

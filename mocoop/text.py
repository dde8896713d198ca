"""The text tower: the plain encoder, and the exact shared-prefix encoder of soft prompts.

A causal tower that pools at [EOS] allows two savings that change no result: tokens after
[EOS] are left out, and `[SOS] before_g`, which no class can influence, runs once per expert
while every class's own tokens `name_c after_g [EOS]` attend to its keys and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from open_clip import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock, Transformer
from torch import Tensor, nn

from mocoop.attention import keys_values, own_block
from mocoop.errors import UserError
from mocoop.packing import PromptBatch, filled_tokens


@dataclass(frozen=True)
class TextTower:
    """The parts of an open_clip text tower, which CLIP and CustomTextCLIP keep apart."""

    token_embedding: nn.Embedding
    positional_embedding: Tensor  # (context, width)
    transformer: Transformer
    ln_final: nn.Module
    projection: Callable[[Tensor], Tensor]
    causal_mask: Tensor | None  # (context, context); None if tokens see what follows
    pool: str
    tokenizer: SimpleTokenizer

    @classmethod
    def of(cls, model: nn.Module, tokenizer: object) -> TextTower:
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
        projection = tower.text_projection
        if isinstance(projection, Tensor):
            matrix = projection
            project: Callable[[Tensor], Tensor] = lambda x: x @ matrix
        else:
            project = projection or nn.Identity()
        pool: Any = getattr(model, "text_pool_type", None) or getattr(tower, "pool_type", "argmax")
        return cls(
            tower.token_embedding,
            tower.positional_embedding,
            tower.transformer,
            tower.ln_final,
            project,
            tower.attn_mask,
            pool,
            tokenizer,
        )

    @property
    def width(self) -> int:
        """Width of the token embeddings."""
        return self.token_embedding.embedding_dim

    @property
    def dim(self) -> int:
        """Size of the joint embedding."""
        return int(self.projection(self.positional_embedding[:1]).shape[-1])

    @property
    def context_length(self) -> int:
        """Largest number of tokens, [SOS] and [EOS] included."""
        return self.positional_embedding.shape[0]

    @property
    def shares_prefixes(self) -> bool:
        """Whether the shared-prefix encoder is exact for this tower."""
        blocks = self.transformer.resblocks
        return (
            self.causal_mask is not None
            and self.pool in ("argmax", "eos")
            and all(type(block) is ResidualAttentionBlock for block in blocks)
            and all(isinstance(block.attn, nn.MultiheadAttention) for block in blocks)
        )

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Returns token ids (texts, context) with [SOS] and [EOS].

        Raises:
            UserError: for a text longer than the context.
        """
        for text in texts:
            self.check_length(len(self.tokenizer.encode(text)) + 2, text)
        device = self.token_embedding.weight.device
        return self.tokenizer(list(texts), context_length=self.context_length).to(device)

    def check_length(self, length: int, text: str) -> None:
        """Raises UserError if `text` takes more tokens than the context has."""
        if length > self.context_length:
            raise UserError(
                f"{text[:60]!r} takes {length} tokens, but this CLIP reads at most "
                f"{self.context_length}. Shorten the class name or the template."
            )

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Returns text features (texts, dim), not normalised, of token ids (texts, context)."""
        ends = self._ends(tokens)
        # A causal tower that pools at [EOS] never looks at what follows it.
        short = self.causal_mask is not None and self.pool in ("argmax", "eos")
        length = int(ends.max()) + 1 if short else tokens.shape[1]
        return self._encode(self.token_embedding(tokens[:, :length]), ends)

    def encode_texts(self, texts: Sequence[str], chunk: int = 512) -> Tensor:
        """Returns L2-normalised features (texts, dim), fp32, of plain texts; no gradient."""
        with torch.no_grad():
            parts = [self.encode_tokens(part) for part in self.tokenize(texts).split(chunk)]
            return F.normalize(torch.cat(parts).float(), dim=-1)

    def encode_template(self, template: str, names: Sequence[str]) -> Tensor:
        """Returns L2-normalised features (names, dim), fp32, of a template filled with names.

        Template and name are tokenised apart, as in soft prompts, which matters only for a
        name that ends in punctuation.
        """
        with torch.no_grad():
            features = self.encode_tokens(filled_tokens(self, template, names))
            return F.normalize(features.float(), dim=-1)

    def encode_prompts_plain(self, prompts: PromptBatch) -> Tensor:
        """Returns features of soft prompts by the tower's own forward, all 77 tokens."""
        experts, classes = prompts.shape
        embedded = prompts.table()[prompts.source]  # (tokens, width)
        end = self.token_embedding.weight.new_zeros(1, dtype=torch.long)
        padding = self.token_embedding(end)[0]
        context = self.context_length
        rows = []
        for before in prompts.before:
            head = torch.cat([prompts.start, before])
            room = padding.expand(context - len(head), -1)
            rows.append(torch.cat([head, room]).expand(classes, -1, -1))
        pair, offset = prompts.pair, prompts.offset
        first = 1 + prompts.before_lengths[pair // classes]
        x = torch.cat(rows).index_put((pair, first + offset), embedded)
        ends = prompts.before_lengths.repeat_interleave(classes) + prompts.lengths
        return self._encode(x, ends).view(experts, classes, -1)

    def encode_prompts(self, prompts: PromptBatch) -> Tensor:
        """Returns features (experts, classes, dim) of soft prompts, not normalised.

        Takes the shared-prefix path where it is exact, and the plain one elsewhere.
        """
        if not self.shares_prefixes:
            return self.encode_prompts_plain(prompts)
        blocks = list(self.transformer.resblocks)
        x = self._embed_own(prompts)  # (tokens, width), packed without padding
        prefix = self._embed_prefix(prompts)  # (experts, prefix, width)
        for block in blocks[:-1]:
            prefix_kv = keys_values(block, prefix)
            x = own_block(block, x, prefix_kv, prompts)
            prefix = block(prefix, attn_mask=prompts.prefix_causal_mask(prefix))
        # Of the last layer only the output at [EOS] is ever read.
        last = blocks[-1]
        x = own_block(last, x, keys_values(last, prefix), prompts, only_ends=True)
        pooled = self.projection(self.ln_final(x))  # (experts * classes, dim)
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

    def _embed_own(self, prompts: PromptBatch) -> Tensor:
        positions = 1 + prompts.before_lengths[prompts.pair // prompts.shape[1]] + prompts.offset
        return prompts.table()[prompts.source] + self.positional_embedding[positions]

    def _embed_prefix(self, prompts: PromptBatch) -> Tensor:
        """Returns `[SOS] before_g`, padded at the end, where a causal tower ignores it."""
        heads = [torch.cat([prompts.start, before]) for before in prompts.before]
        padded = nn.utils.rnn.pad_sequence(heads, batch_first=True)
        return padded + self.positional_embedding[: padded.shape[1]]

"""The text tower: the plain encoder, and the exact shared-prefix encoder of soft prompts.

A causal tower that pools at [EOS] allows two savings that change no result: tokens after
[EOS] are left out, and `[SOS] before_g`, which no class can influence, runs once per expert
while every class's own tokens `name_c after_g [EOS]` attend to its keys and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from open_clip import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from mocoop.errors import UserError
from mocoop.templates import fill


@dataclass(frozen=True)
class TextTower:
    """The parts of an open_clip text tower, which CLIP and CustomTextCLIP keep apart."""

    token_embedding: nn.Embedding
    positional_embedding: Tensor  # (context, width)
    transformer: nn.Module
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
        tower = getattr(model, "text", model)
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
        pool = getattr(model, "text_pool_type", None) or getattr(tower, "pool_type", "argmax")
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

    def encode_prompts_plain(self, prompts: PromptBatch) -> Tensor:
        """Returns features of soft prompts by the tower's own forward, all 77 tokens."""
        experts, classes = prompts.shape
        embedded = prompts.table()[prompts.source]  # (tokens, width)
        end = self.token_embedding.weight.new_zeros(1, dtype=torch.long)
        padding = self.token_embedding(end)[0]
        context = self.context_length
        x = padding.expand(experts * classes, context, -1).clone()
        pair, offset = prompts.pair, prompts.offset
        first = 1 + prompts.before_lengths[pair // classes]
        x = x.index_put((pair, first + offset), embedded)
        for g, before in enumerate(prompts.before):
            rows = slice(g * classes, (g + 1) * classes)
            head = torch.cat([prompts.start, before])
            grown = torch.cat([head.expand(classes, -1, -1), x[rows, len(head) :]], dim=1)
            x = torch.cat([x[: g * classes], grown, x[(g + 1) * classes :]])
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
            prefix_kv = _keys_values(block, prefix)
            x = _own_block(block, x, prefix_kv, prompts)
            prefix = block(prefix, attn_mask=prompts.prefix_causal_mask(prefix))
        # Of the last layer only the output at [EOS] is ever read.
        last = blocks[-1]
        x = _own_block(last, x, _keys_values(last, prefix), prompts, only_ends=True)
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
    ) -> PromptBatch:
        """Returns the packed prompts; gradients flow to `before` and `after`.

        Raises:
            UserError: if the longest prompt does not fit the context.
        """
        device = classes.ids.device
        num_experts, num_classes = len(before), len(classes.lengths)
        before_lengths = torch.tensor([len(b) for b in before], device=device)
        after_lengths = torch.tensor([len(a) for a in after], device=device)
        name_lengths = classes.lengths.repeat(num_experts)  # (pairs,)
        expert = torch.arange(num_experts, device=device).repeat_interleave(num_classes)
        lengths = name_lengths + after_lengths[expert] + 1
        longest = int((1 + before_lengths[expert] + lengths).max())
        tower.check_length(longest, "The longest class name with its context")

        pair = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
        offset = torch.arange(len(pair), device=device) - (lengths.cumsum(0) - lengths)[pair]
        # Rows of table(): names, then the after-blocks, then [EOS].
        name_starts = (classes.lengths.cumsum(0) - classes.lengths).repeat(num_experts)
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


def _keys_values(block: ResidualAttentionBlock, x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the block's keys and values of x (batch, tokens, width), same shape."""
    attention, width = block.attn, x.shape[-1]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias[width:]
    projected = F.linear(block.ln_1(x), attention.in_proj_weight[width:], bias)
    keys, values = projected.chunk(2, dim=-1)
    return keys, values


def _own_block(
    block: ResidualAttentionBlock,
    x: Tensor,
    prefix_kv: tuple[Tensor, Tensor],
    prompts: PromptBatch,
    only_ends: bool = False,
) -> Tensor:
    """Returns one block's output for the classes' own tokens.

    Linear layers run on packed tokens; only attention is padded, to the longest pair.

    Args:
        block: the transformer block.
        x: packed own tokens, (tokens, width).
        prefix_kv: the experts' prefix keys and values, each (experts, prefix, width).
        prompts: where each token belongs.
        only_ends: compute queries and the rest at [EOS] alone; returns (pairs, width).
    """
    experts, classes = prompts.shape
    width, heads = x.shape[-1], block.attn.num_heads
    longest = int(prompts.lengths.max())
    slot = prompts.pair * longest + prompts.offset  # (tokens,), place in the padded grid
    attention = block.attn
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    normed = block.ln_1(x)
    if only_ends:
        kept = prompts.lengths.cumsum(0) - 1  # (pairs,), where [EOS] stands
        query = F.linear(normed[kept], weight[:width], None if bias is None else bias[:width])
        keys_values = F.linear(normed, weight[width:], None if bias is None else bias[width:])
        steps, x, queries = 1, x[kept], query
        slots = torch.arange(experts * classes, device=x.device)
    else:
        projected = F.linear(normed, weight, bias)
        queries, keys_values = projected[:, :width], projected[:, width:]
        steps, slots = longest, slot
    padded_kv = keys_values.new_zeros(experts * classes * longest, 2 * width)
    padded_kv = padded_kv.index_copy(0, slot, keys_values)
    keys, values = padded_kv.view(experts, classes, longest, 2, heads, -1).unbind(3)
    grid = queries.new_zeros(experts * classes * steps, width).index_copy(0, slots, queries)
    grid = grid.view(experts, classes, steps, heads, -1)
    mixed = _attend(grid, keys, values, prefix_kv, prompts, only_ends)
    mixed = mixed.reshape(-1, width)[slots]  # packed again
    x = x + block.ls_1(attention.out_proj(mixed))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def _attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    prefix_kv: tuple[Tensor, Tensor],
    prompts: PromptBatch,
    only_ends: bool,
) -> Tensor:
    """Returns attention over the expert's prefix and the pair's own tokens together.

    Args:
        queries: (experts, classes, steps, heads, head dim).
        keys: own keys, (experts, classes, longest, heads, head dim); values alike.
        prefix_kv: prefix keys and values, each (experts, prefix, width).
        prompts: lengths of prefixes and pairs.
        only_ends: each pair's one query stands at its [EOS].
    """
    experts, classes, steps, heads, size = queries.shape
    longest = keys.shape[2]
    prefix_keys, prefix_values = (
        part.view(experts, -1, heads, size).transpose(1, 2) for part in prefix_kv
    )  # (experts, heads, prefix, head dim)
    prefix = prefix_keys.shape[2]
    by_head = queries.permute(0, 3, 1, 2, 4)  # (experts, heads, classes, steps, head dim)
    to_prefix = by_head.flatten(2, 3) @ prefix_keys.transpose(2, 3)
    to_prefix = to_prefix.view(experts, heads, classes, steps, prefix)
    own_keys = keys.permute(0, 3, 1, 4, 2)  # (experts, heads, classes, head dim, longest)
    to_own = by_head @ own_keys  # (experts, heads, classes, steps, longest)

    place = torch.arange(prefix, device=queries.device)
    beyond_prefix = place >= 1 + prompts.before_lengths[:, None]  # (experts, prefix)
    to_prefix = to_prefix.masked_fill(beyond_prefix[:, None, None, None], float("-inf"))
    column = torch.arange(longest, device=queries.device)
    if only_ends:
        hidden = column >= prompts.lengths.view(experts, 1, classes, 1, 1)
    else:
        hidden = column > column[:, None]  # (steps, longest)
    to_own = to_own.masked_fill(hidden, float("-inf"))

    weights = (torch.cat([to_prefix, to_own], dim=-1) * size**-0.5).softmax(dim=-1)
    from_prefix = weights[..., :prefix].flatten(2, 3) @ prefix_values
    from_own = weights[..., prefix:] @ values.permute(0, 3, 1, 2, 4)
    mixed = from_prefix.view(experts, heads, classes, steps, size) + from_own
    return mixed.permute(0, 2, 3, 1, 4)  # (experts, classes, steps, heads, head dim)

"""The text tower: the plain encoder and the exact shared-prefix encoder."""

from __future__ import annotations

import torch
from open_clip.model import CLIP
from torch import Tensor


def encode_tokens(model: CLIP, tokens: Tensor) -> Tensor:
    """Returns text features (texts, dim), not normalised, of token ids (texts, context).

    Tokens after the longest [EOS] are left out: a causal tower never looks at them.
    """
    ends = tokens.argmax(dim=-1)  # (texts,); [EOS] has the largest id
    length = int(ends.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)
    return x[torch.arange(len(tokens), device=x.device), ends] @ model.text_projection

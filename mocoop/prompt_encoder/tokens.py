"""The parts of a text tower that prompts need: tokenizer, embeddings and context length."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from open_clip import SimpleTokenizer
from torch import Tensor, nn

from mocoop.errors import UserError


@dataclass(frozen=True)
class TokenTable:
    """A tokenizer with the embedding of each of its tokens."""

    tokenizer: SimpleTokenizer = field(repr=False)
    embedding: nn.Embedding = field(repr=False)  # (vocabulary, width)
    context_length: int
    """Largest number of tokens, including [SOS] and [EOS]."""

    @property
    def device(self) -> torch.device:
        """The device of the embeddings."""
        return self.embedding.weight.device

    @property
    def start(self) -> int:
        """The id of [SOS]."""
        return int(self.tokenizer.sot_token_id)

    @property
    def end(self) -> int:
        """The id of [EOS]."""
        return int(self.tokenizer.eot_token_id)

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of a text, without [SOS] and [EOS]."""
        return list(self.tokenizer.encode(text))

    def embed(self, ids: list[int]) -> Tensor:
        """Returns a copy of the embeddings (tokens, width) of token ids, without gradient."""
        rows = torch.tensor(ids, dtype=torch.long, device=self.device)
        return self.embedding.weight.detach()[rows].clone()

    def check_length(self, length: int, text: str) -> None:
        """Raises UserError if `text` has more tokens than the context."""
        if length > self.context_length:
            raise UserError(
                f"{text[:60]!r} has {length} tokens, but this CLIP reads at most "
                f"{self.context_length}. Shorten the class name or the template."
            )

"""DPL in plain words: whole sentences, one attention per candidate, and their weighted sum.

Written from the paper and from what the released program is known to do, without its mistakes
(see docs/methods.md). Nothing of the library is used; the recipe's numbers stand here again.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.parity.towers import attend


def summed_softmaxes(scores, lengths, shares):
    """Returns the weighted sum of the softmaxes over the own keys and those of each candidate.

    Args:
        scores: (..., own keys + keys of all candidates).
        lengths: the number of keys of each candidate.
        shares: the weights of no candidate, and of each.
    """
    own = scores.shape[-1] - sum(lengths)
    total = torch.zeros_like(scores)
    total[..., :own] = shares[0] * scores[..., :own].softmax(dim=-1)
    start = own
    for share, length in zip(shares[1:], lengths, strict=True):
        used = [*range(own), *range(start, start + length)]
        part = torch.zeros_like(scores)
        part[..., used] = share * scores[..., used].softmax(dim=-1)
        total, start = total + part, start + length
    return total


def run_block(block, x, candidates, shares, mask=None):
    """Returns a block's output; each candidate (tokens, width) is keys and values in its turn.

    Args:
        block: a block of open_clip.
        x: (batch, tokens, width).
        candidates: tokens of each candidate; the first has none.
        shares: the weight of each candidate's attention.
        mask: the causal mask of the own tokens, or None.
    """
    normed = block.ln_1(x)
    total = 0
    for share, tokens in zip(shares, candidates, strict=True):
        # In the text tower the order is [SOS], the candidate, the rest; the columns of [SOS] and
        # of the candidate are open to all rows.
        first, rest = normed[:, :1], normed[:, 1:]
        learned = block.ln_1(tokens).expand(len(x), -1, -1)
        others = torch.cat([first, learned, rest], dim=1)
        own = None
        if mask is not None:
            columns = torch.zeros(len(mask), len(tokens))
            own = torch.cat([mask[:, :1], columns, mask[:, 1:]], dim=1)
        total = total + share * attend(block, normed, others, own)
    x = x + total
    return x + block.mlp(block.ln_2(x))

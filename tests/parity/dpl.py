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


class Tokens:
    """The fixed sentences "a photo of a X.", and learned keys and values in all blocks of both.

    Args:
        clip: an open_clip model, not changed.
        tokenizer: CLIP's.
        names: the class names.
        vision: per block of the image tower the first values of its tokens, (tokens, width).
        text: the same of the text tower.
    """

    rate, epochs, warmup_epochs = 0.0035, 40, 1

    def __init__(self, clip, tokenizer, names, vision, text):
        self.clip, self.scale = clip, clip.logit_scale.exp()
        self.tokens = tokenizer([f"a photo of a {name}." for name in names])
        self.embedded = clip.token_embedding(self.tokens).detach()
        own = lambda value: value.detach().clone().requires_grad_()
        self.learned = {f"vision.values.{i}": own(value) for i, value in enumerate(vision)}
        self.learned |= {f"prompts.keys.values.{i}": own(value) for i, value in enumerate(text)}

    def candidates(self, side, number):
        """Returns the candidates of a block and their weights: here one, with all its tokens."""
        return [self.learned[f"{side}.values.{number}"]], [1.0]

    def see(self, images):
        visual = self.clip.visual
        patches = F.conv2d(images, visual.conv1.weight, stride=visual.conv1.stride)
        first = visual.class_embedding.expand(len(images), 1, -1)
        x = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)
        x = visual.ln_pre(x + visual.positional_embedding)
        for number, block in enumerate(visual.transformer.resblocks):
            x = run_block(block, x, *self.candidates("vision", number))
        found = visual.ln_post(x)[:, 0] @ visual.proj
        return found / found.norm(dim=-1, keepdim=True)

    def read(self):
        clip = self.clip
        x = self.embedded + clip.positional_embedding
        for number, block in enumerate(clip.transformer.resblocks):
            x = run_block(block, x, *self.candidates("prompts.keys", number), clip.attn_mask)
        x = clip.ln_final(x)
        rows = [row[int(ids.argmax())] for row, ids in zip(x, self.tokens, strict=True)]
        found = torch.stack(rows) @ clip.text_projection
        return found / found.norm(dim=-1, keepdim=True)

    def logits(self, images):
        return self.scale * self.see(images) @ self.read().T

    def loss(self, images, labels):
        return F.cross_entropy(self.logits(images), labels)


class Search(Tokens):
    """The search stage: candidates with 1 to `longest` tokens in every block, and their alphas.

    Args:
        longest: the number of tokens of the longest candidate.
        alphas: first values by tower, (blocks, 1 + longest).
    """

    epochs = 80
    alpha_rate, betas = 0.0035, (0.5, 0.999)

    def __init__(self, *args, longest, alphas):
        super().__init__(*args)
        self.longest = longest
        self.alphas = {side: a.detach().clone().requires_grad_() for side, a in alphas.items()}

    def candidates(self, side, number):
        tokens = self.learned[f"{side}.values.{number}"]
        parts = [tokens[:0], *tokens.split(list(range(1, self.longest + 1)))]
        return parts, self.alphas[f"{side}.alphas"][number].softmax(dim=0)

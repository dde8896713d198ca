"""Prompts in both towers in plain words: whole sentences, whole sequences, one block at a time.

Written from the papers and from what the released programs are known to do. Nothing of the
library is used, and all numbers of the recipes stand here again.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def attend(block, queries, others, mask=None):
    """Returns what a block's attention adds to `queries` (batch, tokens, width)."""
    attention = block.attn
    heads = attention.num_heads
    weights = attention.in_proj_weight.chunk(3)
    biases = attention.in_proj_bias.chunk(3)

    def project(x, part):
        y = x @ weights[part].T + biases[part]
        return y.unflatten(-1, (heads, -1)).transpose(1, 2)  # (batch, heads, tokens, size)

    q, k, v = project(queries, 0), project(others, 1), project(others, 2)
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + mask
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(-2)
    return mixed @ attention.out_proj.weight.T + attention.out_proj.bias


def run_block(block, x, mask=None, extra=None):
    """Returns a block's output; `extra` (tokens, width) are keys and values beside its own."""
    normed = block.ln_1(x)
    others = normed
    if extra is not None:
        others = torch.cat([normed, block.ln_1(extra).expand(len(x), -1, -1)], dim=1)
    x = x + attend(block, normed, others, mask)
    return x + block.mlp(block.ln_2(x))


def see(visual, images, tokens, keys_only=False):
    """Returns normalised features (batch, dim) with tokens (depth, count, width) in the blocks.

    In a list of (count, width) a block may have None: then it has no tokens of its own.
    """
    patches = F.conv2d(images, visual.conv1.weight, stride=visual.conv1.stride)
    patches = patches.flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(images), 1, -1)
    x = torch.cat([first, patches], dim=1) + visual.positional_embedding
    own = x.shape[1]
    if not keys_only and tokens[0] is not None:
        x = torch.cat([x, tokens[0].expand(len(images), -1, -1)], dim=1)
    x = visual.ln_pre(x)
    for number, block in enumerate(visual.transformer.resblocks):
        deep = tokens[number] if number < len(tokens) else None
        if keys_only:
            x = run_block(block, x, extra=deep)
            continue
        if number > 0 and deep is not None:
            x = torch.cat([x[:, :own], deep.expand(len(images), -1, -1)], dim=1)
        x = run_block(block, x)
    x = visual.ln_post(x[:, :own])
    pooled = x[:, 0] if visual.pool_type == "tok" else x[:, 1:].mean(dim=1)
    found = pooled @ visual.proj
    return found / found.norm(dim=-1, keepdim=True)


def read(clip, embedded, tokens, deep):
    """Returns normalised features (texts, dim) of embeddings (texts, 77, width).

    Before block l, from 1 to `len(deep)`, the rows behind [SOS] are replaced by deep[l - 1].
    """
    x = embedded + clip.positional_embedding
    for number, block in enumerate(clip.transformer.resblocks):
        if 0 < number <= len(deep):
            own = deep[number - 1].expand(len(x), -1, -1)
            x = torch.cat([x[:, :1], own, x[:, 1 + own.shape[1] :]], dim=1)
        x = run_block(block, x, clip.attn_mask)
    x = clip.ln_final(x)
    rows = [row[int(ids.argmax())] for row, ids in zip(x, tokens, strict=True)]  # at [EOS]
    found = torch.stack(rows) @ clip.text_projection
    return found / found.norm(dim=-1, keepdim=True)


class Towers:
    """IVLP: a context of words, and learned tokens in the blocks of both towers.

    Args:
        clip: an open_clip model, not changed.
        tokenizer: CLIP's.
        names: the class names.
        count: the number of learned tokens before the name, the first ones of "a photo of a".
        vision: first value of the image tower's tokens (depth, count, width).
        deep: first value of the text tower's tokens (depth - 1, count, width).
    """

    rate, epochs, warmup_epochs = 0.0035, 5, 1

    def __init__(self, clip, tokenizer, names, count, vision, deep):
        self.clip, self.scale, self.count = clip, clip.logit_scale.exp(), count
        self.tokens = tokenizer([f"a photo of a {name}." for name in names])
        self.embedded = clip.token_embedding(self.tokens).detach()
        own = lambda value: value.detach().clone().requires_grad_()
        self.learned = {"context": own(self.embedded[0, 1 : 1 + count])}
        self.learned |= {"vision": own(vision)} if vision is not None else {}
        self.learned |= {"deep": own(deep)} if deep is not None else {}

    def texts(self):
        """Returns normalised text features (classes, dim)."""
        context = self.learned["context"].expand(len(self.embedded), -1, -1)
        rest = self.embedded[:, 1 + self.count :]
        sentences = torch.cat([self.embedded[:, :1], context, rest], dim=1)
        return read(self.clip, sentences, self.tokens, self.learned.get("deep", ()))

    def vision(self):
        return self.learned["vision"]

    def logits(self, images):
        return self.scale * see(self.clip.visual, images, self.vision()) @ self.texts().T

    def loss(self, images, labels):
        return F.cross_entropy(self.logits(images), labels)


class VPT(Towers):
    """Learned tokens in the image tower alone; the texts are whole sentences."""

    rate = 0.0025

    def __init__(self, *args):
        super().__init__(*args)
        del self.learned["context"]

    def texts(self):
        return read(self.clip, self.embedded, self.tokens, ()).detach()


class MaPLe(Towers):
    """The image tower's tokens are linear in the text tower's.

    Args:
        layers: first (weight, bias) of each block's layer.
    """

    def __init__(self, *args, layers):
        super().__init__(*args)
        for number, (weight, bias) in enumerate(layers):
            self.learned[f"{number}.weight"] = weight.detach().clone().requires_grad_()
            self.learned[f"{number}.bias"] = bias.detach().clone().requires_grad_()

    def vision(self):
        text = [self.learned["context"], *self.learned["deep"]]
        return torch.stack(
            [
                row @ self.learned[f"{number}.weight"].T + self.learned[f"{number}.bias"]
                for number, row in enumerate(text)
            ]
        )

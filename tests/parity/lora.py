"""CLIP-LoRA in plain words: whole sentences, and an attention with separate linear layers.

Written from the paper and from what the released program is known to do. Nothing of the library
is used, and all numbers of the recipe stand here again.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn


class PlainUpdate(nn.Module):
    """A frozen linear layer with a low-rank update: W x + b + alpha / sqrt(r) B A dropout(x)."""

    def __init__(self, weight, bias, down, up, alpha):
        super().__init__()
        self.weight, self.bias = weight.detach().clone(), bias.detach().clone()
        self.down, self.up = nn.Parameter(down.clone()), nn.Parameter(up.clone())
        self.scale = alpha / math.sqrt(len(down))
        self.mask = None

    def forward(self, x):
        given = x
        if self.mask is not None:  # zero or 1 / (1 - dropout); tokens behind it are padding
            more = x.shape[1] - self.mask.shape[1]
            given = x * F.pad(self.mask, (0, 0, 0, more), value=1.0)
        return x @ self.weight.T + self.bias + self.scale * (given @ (self.up @ self.down).T)


class PlainAttention(nn.Module):
    """Attention with four linear layers, of which the first three have updates."""

    batch_first = True

    def __init__(self, attention, downs, ups, alpha):
        super().__init__()
        self.heads = attention.num_heads
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        parts = zip(weights, biases, downs, ups, strict=True)
        self.query, self.key, self.value = (PlainUpdate(*part, alpha) for part in parts)
        self.out = attention.out_proj

    def forward(self, query, key, value, attn_mask=None, **options):
        split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = split(self.query(query)), split(self.key(key)), split(self.value(value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if attn_mask is not None:
            scores = scores + attn_mask
        return self.out((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(-2)), None


class PlainLora:
    """CLIP whose attention learns, on whole sentences of 77 tokens.

    Args:
        clip: an open_clip model, not changed.
        tokenizer: CLIP's.
        sentences: one per class.
        first: the first values, by `image_down`, `image_up`, `text_down` and `text_up`.
        alpha: the updates' alpha.
    """

    rate, last_rate, decay = 2e-4, 1e-6, 1e-2

    def __init__(self, clip, tokenizer, sentences, first, alpha):
        self.clip, self.scale = copy.deepcopy(clip), float(clip.logit_scale.exp())
        self.tokens = tokenizer(list(sentences))
        self.blocks = {
            "image": list(self.clip.visual.transformer.resblocks),
            "text": list(self.clip.transformer.resblocks),
        }
        for side, blocks in self.blocks.items():
            values = zip(blocks, first[f"{side}_down"], first[f"{side}_up"], strict=True)
            for block, down, up in values:
                block.attn = PlainAttention(block.attn, down, up, alpha)

    def layers(self, side):
        """Returns the three updated layers of every block."""
        attentions = [block.attn for block in self.blocks[side]]
        return [[one.query, one.key, one.value] for one in attentions]

    def learned(self):
        """Returns what is learned, under the library's names."""
        return {
            f"{side}_{name}": torch.stack(
                [torch.stack([getattr(one, name) for one in row]) for row in self.layers(side)]
            )
            for side in ("image", "text")
            for name in ("down", "up")
        }

    def parameters(self):
        return [
            value
            for side in ("image", "text")
            for row in self.layers(side)
            for layer in row
            for value in (layer.down, layer.up)
        ]

    def gradients(self):
        """Returns the gradients, under the library's names."""
        return {
            f"{side}_{name}": torch.stack(
                [torch.stack([getattr(one, name).grad for one in r]) for r in self.layers(side)]
            )
            for side in ("image", "text")
            for name in ("down", "up")
        }

    def set_masks(self, side, masks):
        """Sets the dropout of every layer: masks[block][part], or None for no dropout."""
        for index, row in enumerate(self.layers(side)):
            for part, layer in enumerate(row):
                layer.mask = None if masks is None else masks[index][part]

    def images(self, pictures):
        return F.normalize(self.clip.encode_image(pictures), dim=-1)

    def texts(self):
        return F.normalize(self.clip.encode_text(self.tokens), dim=-1)

    def loss(self, pictures, labels):
        return F.cross_entropy(self.scale * self.images(pictures) @ self.texts().T, labels)

    def optimizer(self, steps):
        """Returns AdamW and its schedule over a number of steps."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.rate, betas=(0.9, 0.999), weight_decay=self.decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, steps, eta_min=self.last_rate
        )
        return optimizer, schedule

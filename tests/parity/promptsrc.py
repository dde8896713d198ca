"""PromptSRC in plain words, and MoCoOp with its tokens and losses: one sentence, one image each.

Written from the papers and from what the released programs are known to do. Nothing of the library
is used. The CLIP is in fp64, so that nothing but our own rounding is left. The weights 25 and 10
of the means over dimensions hold for 512 of them, so that they are smaller here in the same ratio
as the CLIP's dimensions are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from tests.parity import rivals

TEMPLATES = 60  # of the 80 for ImageNet, the first ones
DIM = 512


def prompted_image(vit, picture, tokens):
    """Returns the normalised feature (dim,) of one picture, with tokens (blocks, count, width)."""
    patches = vit.conv1(picture[None])[0].flatten(1).T  # (patches, width)
    x = torch.cat([vit.class_embedding[None], patches]) + vit.positional_embedding
    own = len(x)
    x = vit.ln_pre(torch.cat([x, tokens[0]]))
    for number, block in enumerate(vit.transformer.resblocks):
        if 0 < number < len(tokens):
            x = torch.cat([x[:own], tokens[number]])
        x = block(x[None])[0]
    found = vit.ln_post(x[0]) @ vit.proj
    return found / found.norm()


def frozen_image(vit, picture):
    """Returns the normalised feature (dim,) of one picture."""
    with torch.no_grad():
        found = vit(picture[None])[0]
    return found / found.norm()


def frozen_texts(clip, tokenizer, templates, names, unit=False):
    """Returns normalised features (names, dim): the mean over templates, raw or normalised."""
    rows = []
    for name in names:
        total = clip.text_projection.new_zeros(clip.text_projection.shape[1])
        for template in templates:
            tokens = tokenizer([template.replace("{}", name)])
            with torch.no_grad():
                found = rivals.encode(clip, clip.token_embedding(tokens), tokens)[0]
            total += found / found.norm() if unit else found
        rows.append(total / len(templates))
    return torch.stack([row / row.norm() for row in rows])


def l1(features, frozen):
    """Returns the mean absolute difference with a weight of 1 at 512 dimensions."""
    numbers = [
        abs(a - b)
        for row, other in zip(features, frozen, strict=True)
        for a, b in zip(row, other, strict=True)
    ]
    return torch.stack(numbers).mean() * features.shape[1] / DIM


def divergence(logits, frozen):
    """Returns the divergence of the frozen prediction from ours, per image and class."""
    total = logits.new_zeros(())
    for row, other in zip(logits, frozen, strict=True):
        p, q = other.softmax(dim=0), row.softmax(dim=0)
        total = total + sum(a * (a / b).log() for a, b in zip(p, q, strict=True))
    return total / logits.numel()


class PromptSRC:
    """Four tokens "a photo of a" in front of the name, and free tokens in later blocks.

    Args:
        clip: an open_clip model, not changed.
        tokenizer: CLIP's.
        names: the class names.
        deep: first value of the text tower's tokens in blocks 1, 2 ... (blocks, 4, width).
        vision: first value of the image tower's tokens in blocks 0, 1 ... (blocks, 4, width).
        templates: those of the frozen texts.
    """

    rate, epochs, warmup_epochs = 0.0025, 20, 1

    def __init__(self, clip, tokenizer, names, deep, vision, templates):
        self.clip, self.scale = clip, clip.logit_scale.exp()
        context = clip.token_embedding(tokenizer(["a photo of a"]))[0, 1:5]
        self.tokens = tokenizer([f"a photo of a {name}." for name in names])
        self.embedded = clip.token_embedding(self.tokens).detach()
        copy = lambda value: value.detach().double().requires_grad_()
        self.learned = {"context": copy(context), "deep": copy(deep), "vision": copy(vision)}
        self.frozen = frozen_texts(clip, tokenizer, templates, names)

    def text(self, label):
        """Returns the normalised feature (dim,) of one class."""
        row, count = self.embedded[label], 4
        x = torch.cat([row[:1], self.learned["context"], row[1 + count :]])
        x = x + self.clip.positional_embedding
        for number, block in enumerate(self.clip.transformer.resblocks):
            if 0 < number <= len(self.learned["deep"]):
                x = torch.cat([x[:1], self.learned["deep"][number - 1], x[1 + count :]])
            x = block(x[None], attn_mask=self.clip.attn_mask)[0]
        found = self.clip.ln_final(x[int(self.tokens[label].argmax())]) @ self.clip.text_projection
        return found / found.norm()

    def losses(self, pictures, labels):
        """Returns every loss by name, and their weighted sum as total."""
        vit = self.clip.visual
        images = torch.stack([prompted_image(vit, p, self.learned["vision"]) for p in pictures])
        frozen = torch.stack([frozen_image(vit, p) for p in pictures])
        texts = torch.stack([self.text(label) for label in range(len(self.tokens))])
        logits = self.scale * images @ texts.T
        found = {
            "classification": F.cross_entropy(logits, labels),
            "text_consistency": l1(texts, self.frozen),
            "image_consistency": l1(images, frozen),
            "logit_consistency": divergence(logits, self.scale * frozen @ self.frozen.T),
        }
        weights = (1.0, 25.0, 10.0, 1.0)
        total = sum(w * loss for w, loss in zip(weights, found.values(), strict=True))
        return found | {"total": total}


class MoCoOpSRC(rivals.MoCoOp):
    """MoCoOp whose image tower has tokens, which all experts share.

    The router sees the frozen tower's feature, and so does its target.

    Args:
        vision: first value of the image tower's tokens, (blocks, count, width).
        templates: those of the frozen texts; None leaves out PromptSRC's losses.
    """

    def __init__(self, clip, tokenizer, names, groups, gate, vision, templates=None):
        super().__init__(clip, tokenizer, names, groups, gate)
        self.correction = self.correction.detach().double().requires_grad_()
        self.vision = vision.detach().double().requires_grad_()
        self.frozen = templates and frozen_texts(clip, tokenizer, templates, names)

    @property
    def learned(self):
        return super().learned | {"vision": self.vision}

    def losses(self, pictures, labels):
        """Returns every loss by name, and their weighted sum as total."""
        vit, texts = self.clip.visual, []
        for expert in self.experts:
            found = rivals.encode(self.clip, expert.sentences(), expert.tokens) + self.correction
            texts.append(found / found.norm(dim=-1, keepdim=True))
        images, frozen, logits, gates = [], [], [], []
        for picture, label in zip(pictures, labels, strict=True):
            images.append(prompted_image(vit, picture, self.vision))
            frozen.append(frozen_image(vit, picture))
            score = self.gate(frozen[-1])
            best, which = score.topk(self.chosen)
            mixed = sum(w * texts[int(g)] for w, g in zip(best.softmax(0), which, strict=True))
            logits.append(self.scale * mixed @ images[-1])
            target = torch.stack([frozen[-1] @ p[int(label)] for p in self.prototypes])
            target[target.topk(self.chosen).indices] += 10.0
            gates.append(-(target.softmax(dim=0) * score.log_softmax(dim=0)).sum())
        text = [
            F.cross_entropy(prototype @ feature, torch.tensor(label))
            for soft, prototype in zip(texts, self.prototypes, strict=True)
            for label, feature in enumerate(soft)
        ]
        logits = torch.stack(logits)
        found = {
            "classification": F.cross_entropy(logits, labels),
            "text": torch.stack(text).mean(),
            "gate": torch.stack(gates).mean(),
        }
        weights = {"classification": 1.0, "text": 5.0, "gate": 1.0}
        if self.frozen is not None:
            images, frozen = torch.stack(images), torch.stack(frozen)
            found["image_consistency"] = l1(images, frozen)
            found["logit_consistency"] = divergence(logits, self.scale * frozen @ self.frozen.T)
            weights |= {"image_consistency": 10.0, "logit_consistency": 1.0}
        return found | {"total": sum(weights[name] * loss for name, loss in found.items())}


def weight_of(epoch, epochs, mean, std):
    """Returns an epoch's share in the aggregated prompts."""
    bell = lambda e: math.exp(-((e - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))
    return bell(epoch) / sum(bell(e) for e in range(1, epochs + 1))

"""Every rival in plain words: whole sentences of 77 tokens, one image and one class at a time.

Written from the papers and from what the released programs are known to do. Nothing of the
library is used, and all numbers of the recipes stand here again. `learned` is what is trained, by
name; `loss` is what its gradient is taken of.

Other comparisons with the rivals' own parts stand where those parts are tested: random crops with
torchvision's (tests/clip/test_random_crop.py), tokens with open_clip's tokenizer
(tests/prompt_encoder/test_seam.py), the search for C (tests/classifiers/test_searches.py).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def encode(clip, embedded, tokens):
    """Returns text features (texts, dim), not normalised, of embeddings (texts, 77, width)."""
    x = clip.transformer(embedded + clip.positional_embedding, attn_mask=clip.attn_mask)
    x = clip.ln_final(x)
    rows = [row[int(ids.argmax())] for row, ids in zip(x, tokens, strict=True)]  # at [EOS]
    return torch.stack(rows) @ clip.text_projection


def hard_features(clip, tokenizer, template, names):
    """Returns normalised features (names, dim) of a template filled with each name."""
    tokens = tokenizer([template.replace("{}", name) for name in names])
    with torch.no_grad():
        found = encode(clip, clip.token_embedding(tokens), tokens)
    return found / found.norm(dim=-1, keepdim=True)


class CoOp:
    """One context in front of, within or behind which the class name stands.

    Args:
        clip: an open_clip model, not changed.
        tokenizer: CLIP's.
        names: the class names.
        context: first value, (tokens, width), or (classes, tokens, width) if each has its own;
            None takes the embeddings of "a photo of a".
        position: of the name: end, middle or front.
    """

    rate, epochs, warmup_epochs, clip_norm = 0.002, 50, 1, None

    def __init__(self, clip, tokenizer, names, context=None, position="end"):
        self.clip, self.scale, self.names = clip, clip.logit_scale.exp(), names
        words = "a photo of a"
        if context is None:
            context = clip.token_embedding(tokenizer([words]))[0, 1:5]
        else:
            words = " ".join(["X"] * context.shape[-2])
        self.tokens = tokenizer([f"{words} {name}." for name in names])
        embedded = clip.token_embedding(self.tokens)
        self.first = embedded[:, :1]  # [SOS]
        self.rest = embedded[:, 1 + context.shape[-2] :]  # name, full stop, [EOS]
        self.lengths = [len(tokenizer.encode(name)) for name in names]
        self.position = position
        self.norms = {}  # LayerNorms of an image tower, where they are trained
        self.context = context.detach().clone().requires_grad_()

    @property
    def learned(self):
        return {"context": self.context}

    def sentences(self, context):
        """Returns the embeddings (classes, 77, width) of all prompts."""
        rows = []
        for label, length in enumerate(self.lengths):
            own = context[label] if context.ndim == 3 else context
            name, behind = self.rest[label, :length], self.rest[label, length:]
            split = {"end": len(own), "middle": len(own) // 2, "front": 0}[self.position]
            rows.append(torch.cat([self.first[label], own[:split], name, own[split:], behind]))
        return torch.stack(rows)

    def texts(self, context=None):
        """Returns normalised text features (classes, dim)."""
        sentences = self.sentences(self.context if context is None else context)
        found = encode(self.clip, sentences, self.tokens)
        return found / found.norm(dim=-1, keepdim=True)

    def logits(self, features):
        """Returns logits (images, classes)."""
        return self.scale * features @ self.texts().T

    def loss(self, features, labels):
        return F.cross_entropy(self.logits(features), labels)

    def gradients(self, features, labels):
        """Returns the loss and its gradient by name."""
        loss = self.loss(features, labels)
        learned = self.learned | self.norms
        return loss, dict(zip(learned, torch.autograd.grad(loss, learned.values()), strict=True))


class CoCoOp(CoOp):
    """Each image adds a vector to every token of the context.

    Args:
        meta: the network that computes it; its weights are taken over.
    """

    epochs = 10

    def __init__(self, *args, meta):
        super().__init__(*args)
        self.meta = meta

    @property
    def learned(self):
        return {"context": self.context} | dict(self.meta.named_parameters())

    def logits(self, features):
        rows = []
        for feature in features:
            texts = self.texts(self.context + self.meta(feature))
            rows.append(self.scale * feature @ texts.T)
        return torch.stack(rows)


class ProGrad(CoOp):
    """The step leaves out the part that opposes the zero-shot prediction.

    Args:
        template: of the zero-shot prediction.
    """

    epochs = 100
    temperature, share = 1.0, 1.0  # T and lambda

    def __init__(self, clip, tokenizer, names, template):
        super().__init__(clip, tokenizer, names)
        self.hard = hard_features(clip, tokenizer, template, names)

    def gradients(self, features, labels):
        logits = self.logits(features)
        loss = F.cross_entropy(logits, labels)
        teacher = (self.scale * features @ self.hard.T / self.temperature).softmax(dim=-1)
        student = (logits / self.temperature).log_softmax(dim=-1)
        divergence = -(teacher * student).sum(dim=-1).mean() * self.temperature**2
        (own,) = torch.autograd.grad(loss, [self.context], retain_graph=True)
        (general,) = torch.autograd.grad(divergence, [self.context])
        direction = general / general.norm()
        along = (own * direction).sum()
        if along < 0:
            own = own - self.share * along * direction
        return loss, {"context": own}


class KgCoOp(CoOp):
    """The text features stay near those of a template.

    Args:
        template: the data set's own.
    """

    epochs = 100

    def __init__(self, clip, tokenizer, names, template):
        super().__init__(clip, tokenizer, names)
        self.hard = hard_features(clip, tokenizer, template, names)

    def loss(self, features, labels):
        near = F.cosine_similarity(self.texts(), self.hard, dim=1).mean()
        return super().loss(features, labels) + 8.0 * (1.0 - near)


class LASP(CoOp):
    """The soft prompts must tell the hard ones apart; a vector is added to all text features.

    Args:
        templates: the hard ones.
        noise: draws the noise on the hard features.
    """

    rate, epochs, warmup_epochs, clip_norm = 0.032, 25, 3, 1.0

    def __init__(self, clip, tokenizer, names, templates, noise):
        super().__init__(clip, tokenizer, names)
        self.hard = torch.stack([hard_features(clip, tokenizer, t, names) for t in templates])
        self.correction = torch.zeros(self.hard.shape[-1], requires_grad=True)
        self.noise = noise

    @property
    def learned(self):
        return {"context": self.context, "correction": self.correction}

    def texts(self, context=None):
        found = encode(self.clip, self.sentences(self.context), self.tokens) + self.correction
        return found / found.norm(dim=-1, keepdim=True)

    def loss(self, features, labels):
        hard = self.hard
        if torch.rand(1, generator=self.noise).item() < 0.5:
            hard = hard + 0.05 * torch.randn(hard.shape, generator=self.noise)
        texts, terms = self.texts(), []
        for template in hard:
            for label, feature in enumerate(template):
                terms.append(F.cross_entropy(self.scale * texts @ feature, torch.tensor(label)))
        return super().loss(features, labels) + 5.0 * torch.stack(terms).mean()


class MoCoOp:
    """A router sends every image to the two best of several prompts.

    Every expert starts from the first template of its group. The text loss has no temperature.

    Args:
        clip: an open_clip model, not changed.
        tokenizer: CLIP's.
        names: the class names.
        groups: the templates of every group.
        gate: the router; its weights are taken over.
    """

    rate, epochs, warmup_epochs, clip_norm, chosen = 0.032, 50, 5, 1.0, 2

    def __init__(self, clip, tokenizer, names, groups, gate):
        self.clip, self.scale, self.gate = clip, clip.logit_scale.exp(), gate
        self.experts = [Expert(clip, tokenizer, names, templates[0]) for templates in groups]
        self.prototypes = []
        for templates in groups:
            mean = torch.stack([hard_features(clip, tokenizer, t, names) for t in templates])
            self.prototypes.append(F.normalize(mean.mean(dim=0), dim=-1))
        self.correction = torch.zeros(clip.text_projection.shape[1], requires_grad=True)
        self.norms = {}

    @property
    def learned(self):
        found = {"correction": self.correction} | dict(self.gate.named_parameters())
        for number, expert in enumerate(self.experts):
            found |= {f"before.{number}": expert.before, f"after.{number}": expert.after}
        return found

    def loss(self, features, labels):
        texts = []
        for expert in self.experts:
            found = encode(self.clip, expert.sentences(), expert.tokens) + self.correction
            texts.append(found / found.norm(dim=-1, keepdim=True))
        entropies, targets, scores = [], [], self.gate(features)
        for feature, label, score in zip(features, labels, scores, strict=True):
            best, which = score.topk(self.chosen)
            mixed = sum(w * texts[int(g)] for w, g in zip(best.softmax(0), which, strict=True))
            entropies.append(F.cross_entropy(self.scale * mixed @ feature, label))
            target = torch.stack([feature @ p[int(label)] for p in self.prototypes]).detach()
            target[target.topk(self.chosen).indices] += 10.0
            targets.append(target.softmax(dim=0))
        text = []
        for soft, prototype in zip(texts, self.prototypes, strict=True):
            for label, feature in enumerate(soft):
                text.append(F.cross_entropy(prototype @ feature, torch.tensor(label)))
        gating = -(torch.stack(targets) * scores.log_softmax(dim=1)).sum(dim=1).mean()
        return torch.stack(entropies).mean() + 5.0 * torch.stack(text).mean() + 1.0 * gating

    gradients = CoOp.gradients


class Expert:
    """The learned tokens left and right of the name, first those of a template."""

    def __init__(self, clip, tokenizer, names, template):
        before, after = template.split("{}")
        self.tokens = tokenizer([template.replace("{}", name) for name in names])
        self.embedded = clip.token_embedding(self.tokens)
        self.lengths = [len(tokenizer.encode(name)) for name in names]
        left, right = len(tokenizer.encode(before)), len(tokenizer.encode(after))
        start = 1 + left + self.lengths[0]
        self.before = self.embedded[0, 1 : 1 + left].detach().clone().requires_grad_()
        self.after = self.embedded[0, start : start + right].detach().clone().requires_grad_()

    def sentences(self):
        """Returns the embeddings (classes, 77, width) of all prompts."""
        rows = []
        for row, length in zip(self.embedded, self.lengths, strict=True):
            start = 1 + len(self.before)
            name, rest = row[start : start + length], row[start + length + len(self.after) :]
            rows.append(torch.cat([row[:1], self.before, name, self.after, rest]))
        return torch.stack(rows)


def meta_net(dim, width):
    """Returns CoCoOp's network from image features to a vector."""
    return nn.Sequential(nn.Linear(dim, dim // 16), nn.ReLU(), nn.Linear(dim // 16, width))


def tip_logits(features, texts, scale, keys, key_labels, alpha, beta):
    """Returns Tip-Adapter's logits (images, classes), one image and one key at a time."""
    rows = []
    for feature in features:
        row = [scale * feature @ text for text in texts]
        for key, label in zip(keys, key_labels.tolist(), strict=True):
            row[label] = row[label] + alpha * torch.exp(-beta + beta * (feature @ key))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def schedule(peak, epochs, warmup_epochs):
    """Returns the learning rate of each epoch in Dassl's words.

    A constant 1e-5 first. Then the cosine, which counts from its own start but is as long as the
    whole training.
    """
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], peak)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    found = []
    for epoch in range(epochs):
        if epoch < warmup_epochs:
            found.append(1e-5)
            continue
        found.append(cosine.get_last_lr()[0])
        optimizer.step()
        cosine.step()
    return found

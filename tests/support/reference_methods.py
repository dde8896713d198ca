"""Every trained method as its paper has it: one prompt of 77 tokens and one image at a time.

Nothing of the library is imported. A method keeps what it learns in `learnt`, by name.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from tests.support import reference


def word_tokens(clip, tokenizer, words):
    """Returns the token embeddings (tokens, width) of some words."""
    rows = [clip.token_embedding.weight[token] for token in tokenizer.encode(words)]
    return torch.stack(rows) if rows else clip.token_embedding.weight[:0]


def hard_feature(clip, tokenizer, template, name):
    """Returns the normalised feature (dim,) of a template filled with a class name."""
    feature = clip.encode_text(tokenizer([template.replace("{}", name)]))[0]
    return feature / feature.norm()


class PlainPrompt:
    """A context around a class name: `before` name `after` `tail`.

    Args:
        before: first values of the learnt tokens left of the name, (tokens, width).
        after: the same right of it.
        tail: tokens that follow and are never learnt.
        learn_after: whether `after` is learnt.
        num_classes: every class has a context of its own; None shares one.
    """

    def __init__(self, before, after, tail, learn_after=True, num_classes=None):
        count = 1 if num_classes is None else num_classes
        own = lambda tokens: torch.stack([tokens.clone() for _ in range(count)])
        self.before = own(before).requires_grad_()
        self.after = own(after).requires_grad_(learn_after)
        self.tail, self.own_class, self.learn_after = tail, num_classes is not None, learn_after

    def feature(self, clip, tokenizer, label, name, shift=None):
        """Returns the feature (dim,) of one class, not normalised; `shift` moves the context."""
        row = label if self.own_class else 0
        before, after = self.before[row], self.after[row]
        if shift is not None:
            before = before + shift
            after = after + shift if self.learn_after else after
        return reference.encode_prompt(clip, tokenizer, before, name, [*after, *self.tail])


class PlainCoOp:
    """CoOp (Zhou et al., IJCV 2022): one context, cross-entropy.

    Args:
        clip: an open_clip CLIP.
        tokenizer: CLIP's tokenizer.
        names: class names; those that have images come first.
        prompt: the context.
        num_seen: how many classes have images.
    """

    def __init__(self, clip, tokenizer, names, prompt, num_seen):
        self.clip, self.tokenizer, self.names = clip, tokenizer, names
        self.prompts, self.num_seen = [prompt], num_seen
        self.scale = clip.logit_scale.exp()
        self.correction = None

    @property
    def learnt(self):
        """What is learnt, by name."""
        found = {}
        for index, prompt in enumerate(self.prompts):
            found[f"before.{index}"] = prompt.before
            found[f"after.{index}"] = prompt.after
        if self.correction is not None:
            found["correction"] = self.correction
        return {name: value for name, value in found.items() if value.requires_grad}

    def text_feature(self, prompt, label, shift=None):
        """Returns the normalised feature (dim,) of one class."""
        found = prompt.feature(self.clip, self.tokenizer, label, self.names[label], shift)
        if self.correction is not None:
            found = found + self.correction
        return found / found.norm()

    def text_features(self):
        """Returns the features (experts, classes, dim) of all prompts."""
        return torch.stack(
            [
                torch.stack([self.text_feature(prompt, c) for c in range(len(self.names))])
                for prompt in self.prompts
            ]
        )

    def logits(self, image_features, soft):
        """Returns logits (batch, seen classes)."""
        return torch.stack(
            [
                torch.stack([self.scale * (f @ text) for text in soft[0, : self.num_seen]])
                for f in image_features
            ]
        )

    def losses(self, image_features, labels):
        """Returns all terms and their weighted `total`."""
        soft = self.text_features()
        loss = reference.classification_loss(self.logits(image_features, soft), labels)
        return {"classification": loss, "total": loss}

    def gradients(self, losses):
        """Returns the gradient of what is learnt, by name."""
        return self._derivative(losses["total"])

    def _derivative(self, loss):
        values = torch.autograd.grad(
            loss, list(self.learnt.values()), retain_graph=True, materialize_grads=True
        )
        return dict(zip(self.learnt, values, strict=True))


class PlainCoCoOp(PlainCoOp):
    """CoCoOp (Zhou et al., CVPR 2022): a meta-net moves the context for every image.

    Args:
        meta: its layers, Linear, ReLU, Linear.
    """

    def __init__(self, *args, meta):
        super().__init__(*args)
        self.meta = meta

    @property
    def learnt(self):
        """What is learnt, by name."""
        layers = {f"meta.{name}": value for name, value in self.meta.named_parameters()}
        return super().learnt | layers

    def losses(self, image_features, labels):
        """Returns all terms and their weighted `total`."""
        rows = []
        for f in image_features:
            shift = self.meta(f)
            texts = [self.text_feature(self.prompts[0], c, shift) for c in range(self.num_seen)]
            rows.append(torch.stack([self.scale * (f @ text) for text in texts]))
        loss = reference.classification_loss(torch.stack(rows), labels)
        return {"classification": loss, "total": loss}


class PlainKgCoOp(PlainCoOp):
    """KgCoOp (Yao et al., CVPR 2023): stays near the features of a hard prompt.

    Args:
        template: the hard prompt.
        weight: of 1 - cos.
    """

    def __init__(self, *args, template, weight):
        super().__init__(*args)
        hard = [hard_feature(self.clip, self.tokenizer, template, name) for name in self.names]
        self.hard, self.weight = torch.stack(hard)[None], weight

    def losses(self, image_features, labels):
        """Returns all terms and their weighted `total`."""
        soft = self.text_features()
        loss = reference.classification_loss(self.logits(image_features, soft), labels)
        anchor = reference.anchor_loss(soft, self.hard)
        return {"classification": loss, "anchor": anchor, "total": loss + self.weight * anchor}


class PlainProGrad(PlainCoOp):
    """ProGrad (Zhu et al., ICCV 2023): steps that do not contradict a hard prompt.

    Args:
        template: the hard prompt.
        share: λ, the share of the contradicting part that is removed.
        temperature: T of the two predictions.
    """

    def __init__(self, *args, template, share=1.0, temperature=1.0):
        super().__init__(*args)
        self.share, self.temperature = share, temperature
        names = self.names[: self.num_seen]
        self.hard = [hard_feature(self.clip, self.tokenizer, template, name) for name in names]

    def losses(self, image_features, labels):
        """Returns all terms; `general` is no part of the total."""
        logits = self.logits(image_features, self.text_features())
        untrained = torch.stack(
            [torch.stack([self.scale * (f @ text) for text in self.hard]) for f in image_features]
        )
        loss = reference.classification_loss(logits, labels)
        general = reference.general_loss(logits, untrained, self.temperature)
        return {"classification": loss, "general": general, "total": loss}

    def gradients(self, losses):
        """Returns the gradient, projected where it opposes that of the general loss."""
        own, general = self._derivative(losses["total"]), self._derivative(losses["general"])
        flat = torch.cat([value.flatten() for value in own.values()])
        norm = torch.cat([value.flatten() for value in general.values()]).norm()
        if norm < 1e-5 * flat.norm():  # the prompt has not moved yet
            return own
        along = sum((own[name] * general[name]).sum() for name in own) / norm
        if along >= 0:
            return own
        return {name: own[name] - self.share * along * general[name] / norm for name in own}


class PlainLasp(PlainCoOp):
    """LASP (Bulat and Tzimiropoulos, CVPR 2023): told apart among every hard template.

    Args:
        templates: the hard templates.
        weight: of the text loss.
        text_scale: its inverse temperature.
        over_soft: each hard prompt chooses among the soft ones.
    """

    def __init__(self, *args, templates, weight, text_scale, over_soft=False):
        super().__init__(*args)
        self.over_soft = over_soft
        self.correction = torch.zeros(self.clip.text_projection.shape[1], requires_grad=True)
        self.weight, self.text_scale = weight, text_scale
        self.hard = torch.stack(
            [
                torch.stack([hard_feature(self.clip, self.tokenizer, t, n) for n in self.names])
                for t in templates
            ]
        )

    def losses(self, image_features, labels):
        """Returns all terms and their weighted `total`."""
        soft = self.text_features()
        loss = reference.classification_loss(self.logits(image_features, soft), labels)
        owner = [0] * len(self.hard)
        text = reference.text_supervision_loss(
            soft, self.hard, self.text_scale, owner, self.over_soft
        )
        return {"classification": loss, "text": text, "total": loss + self.weight * text}


class PlainMixture(PlainCoOp):
    """The mixture of prompts: a router, K experts per image, and a guide for the router.

    Args:
        prompts: one per group.
        groups: the hard templates of every group.
        gate: the router, a linear layer.
        num_chosen: K.
        text_weight, text_scale: of the text loss.
        gate_weight, gate_target: of the gating loss.
    """

    def __init__(
        self, clip, tokenizer, names, prompts, num_seen, *, groups, gate, num_chosen,
        text_weight, text_scale, gate_weight, gate_target,
    ):  # fmt: skip
        super().__init__(clip, tokenizer, names, prompts[0], num_seen)
        self.prompts, self.gate, self.num_chosen = prompts, gate, num_chosen
        self.text_weight, self.text_scale = text_weight, text_scale
        self.gate_weight, self.gate_target = gate_weight, gate_target
        self.correction = torch.zeros(clip.text_projection.shape[1], requires_grad=True)
        self.prototypes = torch.stack([self._prototypes(templates) for templates in groups])

    def _prototypes(self, templates):
        rows = []
        for name in self.names:
            hard = [hard_feature(self.clip, self.tokenizer, t, name) for t in templates]
            mean = sum(hard) / len(hard)
            rows.append(mean / mean.norm())
        return torch.stack(rows)

    @property
    def learnt(self):
        """What is learnt, by name."""
        layers = {f"gate.{name}": value for name, value in self.gate.named_parameters()}
        return super().learnt | layers

    def losses(self, image_features, labels):
        """Returns all terms and their weighted `total`."""
        soft = self.text_features()
        logits = reference.mixture_logits(
            image_features, soft[:, : self.num_seen], self.gate, self.scale, self.num_chosen
        )
        loss = reference.classification_loss(logits, labels)
        text = reference.text_supervision_loss(soft, self.prototypes, self.text_scale)
        scores = torch.stack([self.gate.weight @ f + self.gate.bias for f in image_features])
        gate = reference.gating_loss(scores, self._guide(image_features, labels, soft))
        total = loss + self.text_weight * text + self.gate_weight * gate
        return {"classification": loss, "text": text, "gate": gate, "total": total}

    @torch.no_grad()
    def _guide(self, image_features, labels, soft):
        if self.gate_target == "scaled":
            rows = []
            for f, y in zip(image_features, labels, strict=True):
                cosines = [float(f @ prototypes[int(y)]) for prototypes in self.prototypes]
                shares = [math.exp(float(self.scale) * cosine) for cosine in cosines]
                rows.append([share / sum(shares) for share in shares])
            return torch.tensor(rows)
        guides = soft if self.gate_target == "soft" else self.prototypes
        return reference.guide_target(image_features, guides, labels, self.num_chosen)


def plain_meta_net(dim, width, state):
    """Returns CoCoOp's meta-net with the given weights."""
    meta = nn.Sequential(nn.Linear(dim, dim // 16), nn.ReLU(), nn.Linear(dim // 16, width))
    meta.load_state_dict(state)
    return meta

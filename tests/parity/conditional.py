"""A mixture whose contexts see the image, in plain words: one image and one expert at a time.

Every prompt is a whole sentence of 77 tokens. Nothing of the library is used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.parity.towers import run_block


class ConditionalMixture:
    """Experts whose contexts an image shifts, if the router chooses them for it.

    Args:
        clip: an open_clip model, not changed.
        tokenizer: CLIP's.
        names: class names; those that have images come first.
        seen: how many classes have images.
        groups: the hard templates of every expert.
        learned: first values by name: before.N, after.N, deep.N, gate.weight, gate.bias,
            correction, and squeeze.weight, squeeze.bias, expand.weight, expand.bias of the
            network, or 0.squeeze.weight … of every expert's.
        chosen: K.
        first_block: from which block on the learned tokens are shifted.
        own_nets: whether every expert has a network of its own.
        text_weight: of the text loss; its scale is CLIP's.
    """

    def __init__(
        self, clip, tokenizer, names, seen, groups, learned, chosen, first_block, own_nets,
        text_weight,
    ):  # fmt: skip
        self.clip, self.tokenizer, self.names, self.seen = clip, tokenizer, names, seen
        self.learned = {n: v.detach().clone().requires_grad_() for n, v in learned.items()}
        self.experts, self.chosen = len(groups), chosen
        self.first_block, self.own_nets, self.text_weight = first_block, own_nets, text_weight
        self.scale = clip.logit_scale.exp()
        self.prototypes = torch.stack([self._prototypes(templates) for templates in groups])

    @torch.no_grad()
    def _prototypes(self, templates):
        rows = []
        for name in self.names:
            hard = self.clip.encode_text(
                self.tokenizer([t.replace("{}", name) for t in templates])
            )
            rows.append(F.normalize(F.normalize(hard, dim=-1).mean(dim=0), dim=-1))
        return torch.stack(rows)

    def shift(self, expert, feature):
        """Returns the vector (width,) that an image adds."""
        own = f"{expert}." if self.own_nets else ""
        part = lambda name: self.learned[f"{own}{name}"]
        hidden = (part("squeeze.weight") @ feature + part("squeeze.bias")).relu()
        return part("expand.weight") @ hidden + part("expand.bias")

    def text(self, expert, name, shift=None):
        """Returns the normalised feature (dim,) of one sentence."""
        clip, table = self.clip, self.clip.token_embedding.weight
        before, after = (self.learned[f"{part}.{expert}"] for part in ("before", "after"))
        deep = self.learned.get(f"deep.{expert}", ())
        if shift is not None and self.first_block == 0:
            before, after = before + shift, after + shift
        words = table[torch.tensor(self.tokenizer.encode(name))]
        start, end = table[self.tokenizer.sot_token_id][None], table[self.tokenizer.eot_token_id]
        rows = torch.cat([start, before, words, after, end[None]])
        last = len(rows) - 1
        rows = torch.cat([rows, table[:1].expand(77 - len(rows), -1)])
        x = rows + clip.positional_embedding
        for number, block in enumerate(clip.transformer.resblocks):
            if 0 < number <= len(deep):
                own = deep[number - 1]
                if shift is not None and number >= self.first_block:
                    own = own + shift
                x = torch.cat([x[:1], own, x[1 + len(own) :]])
            x = run_block(block, x[None], clip.attn_mask)[0]
        found = clip.ln_final(x[last]) @ clip.text_projection + self.learned["correction"]
        return found / found.norm()

    def answers(self, features, tuned=None):
        """Returns logits (images, seen classes), scores and weights (images, experts).

        With `tuned` features the prompts are compared with these; all else sees the others.
        """
        logits, scores, weights = [], [], []
        compared = features if tuned is None else tuned
        for feature, other in zip(features, compared, strict=True):
            score = self.learned["gate.weight"] @ feature + self.learned["gate.bias"]
            order = sorted(range(self.experts), key=lambda e: -score[e].item())[: self.chosen]
            share = torch.stack([score[e] for e in order]).softmax(dim=0)
            own = torch.zeros(self.seen)
            weight = torch.zeros(self.experts)
            for expert, part in zip(order, share, strict=True):
                shift = self.shift(expert, feature)
                texts = [self.text(expert, name, shift) for name in self.names[: self.seen]]
                own = own + part * self.scale * torch.stack(texts) @ other
                weight[expert] = part.detach()
            logits.append(own)
            scores.append(score)
            weights.append(weight)
        return torch.stack(logits), torch.stack(scores), torch.stack(weights)

    def losses(self, features, labels):
        """Returns all terms and their weighted `total`."""
        logits, scores, _ = self.answers(features)
        losses = {"classification": F.cross_entropy(logits, labels)}
        total = losses["classification"]
        if self.text_weight > 0:
            rows = []
            for expert in range(self.experts):
                own = torch.stack([self.text(expert, name) for name in self.names])
                compared = self.scale * own @ self.prototypes[expert].T
                rows.append(F.cross_entropy(compared, torch.arange(len(own))))
            losses["text"] = torch.stack(rows).mean()
            total = total + self.text_weight * losses["text"]
        targets = []
        for feature, label in zip(features, labels, strict=True):
            guide = torch.stack([feature @ group[label] for group in self.prototypes])
            best = guide.argsort(descending=True)[: self.chosen]
            guide = guide.clone()
            guide[best] += 10
            targets.append(guide.softmax(dim=0))
        losses["gate"] = F.cross_entropy(scores, torch.stack(targets))
        return losses | {"total": total + losses["gate"]}

"""The plain path of `mocoop bench`: a direct implementation of the method, without speed-ups.

It encodes all 77 tokens of every prompt, one expert after the other, sends the images through
the tower in every step, and uses autograd for everything. It is slow on purpose. A test checks
that it equals `tests/support/reference.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.model.losses import classification_loss, gating_loss, text_supervision_loss
from mocoop.model.mixture import PromptMixture
from mocoop.model.router import guide_scores, guide_target


def plain_text_features(
    tower: TextTower,
    names: Sequence[str],
    before: Tensor,
    after: Tensor,
    run: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Returns one expert's text features (classes, dim), not normalised.

    Args:
        tower: the frozen text tower.
        names: the class names.
        before: the expert's soft tokens before the class name, (tokens, width).
        after: the expert's soft tokens after the class name, (tokens, width).
        run: returns the blocks' output for their input (classes, 77, width); by default the
            transformer's own.
    """
    run = run or (lambda x: tower.transformer(x, attn_mask=tower.causal_mask))
    table, tokenizer = tower.tokens.embedding.weight, tower.tokens.tokenizer
    rows, ends = [], []
    for name in names:
        own = [table[token][None] for token in tokenizer.encode(name)]
        start, end = table[tokenizer.sot_token_id][None], table[tokenizer.eot_token_id][None]
        prompt = torch.cat([start, before, *own, after, end])  # (tokens, width)
        ends.append(len(prompt) - 1)
        padding = table[0].expand(tower.context_length - len(prompt), -1)
        rows.append(torch.cat([prompt, padding]))
    x = torch.stack(rows) + tower.positional_embedding  # (classes, 77, width)
    x = tower.ln_final(run(x))
    return tower.projection(x[torch.arange(len(x)), ends])


def plain_loss(
    model: PromptMixture,
    tower: TextTower,
    names: Sequence[str],
    image_features: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    text_weight: float,
    text_scale: float,
) -> Tensor:
    """Returns the sum of the three losses of a batch.

    Args:
        model: the mixture, whose parameters are trained.
        tower: the frozen text tower.
        names: the class names.
        image_features: (batch, dim), L2-normalised.
        labels: (batch,).
        prototypes: features of the hard prompts, (experts, classes, dim).
        text_weight: weight of the text loss.
        text_scale: inverse temperature of the text loss.
    """
    experts = []
    with model.autocast():
        for before, after in zip(model.prompts.before, model.prompts.after, strict=True):
            experts.append(plain_text_features(tower, names, before, after).float())
    soft = torch.stack(experts)  # (experts, classes, dim)
    soft = F.normalize(soft + model.correction if model.correction is not None else soft, dim=-1)
    mixture = model(image_features, soft)
    loss = classification_loss(mixture.logits, labels)
    loss = loss + text_weight * text_supervision_loss(soft, prototypes, text_scale)
    if model.gate is not None:
        target = guide_target(guide_scores(image_features, prototypes, labels), model.num_chosen)
        loss = loss + gating_loss(mixture.scores, target)
    return loss

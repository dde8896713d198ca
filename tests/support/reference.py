"""Plain, slow, obvious versions of what the library computes; they import nothing from it."""

from __future__ import annotations

import math
import random

import torch
from torch import nn


def encode_prompt(model, tokenizer, before, name, after):
    """Returns the feature (dim,) of one soft prompt, run with all its padding."""
    tower = getattr(model, "text", model)
    embedding = tower.token_embedding.weight
    rows = [embedding[tokenizer.sot_token_id]]
    rows += list(before)
    rows += [embedding[token] for token in tokenizer.encode(name)]
    rows += list(after)
    rows += [embedding[tokenizer.eot_token_id]]
    end = len(rows) - 1
    context = tower.positional_embedding.shape[0]
    assert len(rows) <= context
    rows += [embedding[0]] * (context - len(rows))
    x = torch.stack(rows) + tower.positional_embedding  # (context, width)
    x = tower.transformer(x[None], attn_mask=tower.attn_mask)[0]
    x = tower.ln_final(x)
    pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    pooled = x[{"argmax": end, "eos": end, "first": 0, "last": context - 1}[pool]]
    projection = tower.text_projection
    if projection is None:
        return pooled
    return projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection


def encode_prompts(model, tokenizer, befores, names, afters):
    """Returns features (experts, classes, dim), one prompt after the other."""
    experts = []
    for before, after in zip(befores, afters, strict=True):
        row = [encode_prompt(model, tokenizer, before, name, after) for name in names]
        experts.append(torch.stack(row))
    return torch.stack(experts)


def top_weights(scores, num_chosen):
    """Returns the softmax over each row's K largest scores, zero elsewhere."""
    rows = []
    for row in scores.tolist():
        chosen = sorted(range(len(row)), key=lambda g: -row[g])[:num_chosen]
        total = sum(math.exp(row[g]) for g in chosen)
        rows.append([math.exp(row[g]) / total if g in chosen else 0.0 for g in range(len(row))])
    return torch.tensor(rows, dtype=scores.dtype)


def mixture_logits(image_features, soft, gate, scale, num_chosen):
    """Returns mixed logits (batch, classes); every image's text feature is really mixed."""
    rows = []
    for f in image_features:
        scores = gate.weight @ f + gate.bias
        chosen = sorted(range(len(soft)), key=lambda g: -scores[g].item())[:num_chosen]
        weights = torch.stack([scores[g].exp() for g in chosen])
        weights = weights / weights.sum()
        row = []
        for c in range(soft.shape[1]):
            mixed = sum(a * soft[g, c] for a, g in zip(weights, chosen, strict=True))
            row.append(scale * (f @ mixed))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def cross_entropy(logits, target):
    """Returns -log of the softmax of one row of logits at the target."""
    return torch.log(sum(torch.exp(z) for z in logits)) - logits[target]


def classification_loss(logits, labels):
    """Returns the mean cross-entropy, image by image."""
    losses = [cross_entropy(row, int(y)) for row, y in zip(logits, labels, strict=True)]
    return sum(losses) / len(losses)


def text_supervision_loss(soft, targets, scale, owner=None, over_soft=False):
    """Returns the mean cross-entropy over targets and classes, one at a time."""
    losses = []
    for t in range(len(targets)):
        g = t if owner is None else int(owner[t])
        asked, answers = (targets[t], soft[g]) if over_soft else (soft[g], targets[t])
        for c in range(soft.shape[1]):
            own = [scale * (asked[c] @ answer) for answer in answers]
            losses.append(cross_entropy(torch.stack(own), c))
    return sum(losses) / len(losses)


def anchor_loss(soft, anchors):
    """Returns the mean over experts and classes of 1 - cos, one at a time."""
    distances = []
    for g in range(len(soft)):
        for c in range(soft.shape[1]):
            a, b = soft[g, c], anchors[g, c]
            distances.append(1 - (a @ b) / (a.norm() * b.norm()))
    return sum(distances) / len(distances)


def half_squared_distance(soft, anchors):
    """Returns half of the mean squared distance over experts and classes, number by number."""
    distances = []
    for g in range(len(soft)):
        for c in range(soft.shape[1]):
            pairs = zip(soft[g, c], anchors[g, c], strict=True)
            distances.append(sum((a - b) ** 2 for a, b in pairs) / 2)
    return sum(distances) / len(distances)


def general_loss(logits, general_logits, temperature=1.0):
    """Returns the mean over images of T² sum_c p_c (log p_c - log q_c), p the general softmax."""
    losses = []
    logits, general_logits = logits / temperature, general_logits.detach() / temperature
    for row, general in zip(logits, general_logits, strict=True):
        loss = 0.0
        for c in range(len(row)):
            log_p = -cross_entropy(general, c)
            loss = loss + temperature**2 * log_p.exp() * (log_p + cross_entropy(row, c))
        losses.append(loss)
    return sum(losses) / len(losses)


def gating_loss(scores, target):
    """Returns the mean over images of -sum_g target_g log softmax(scores)_g."""
    losses = []
    for row, wanted in zip(scores, target, strict=True):
        losses.append(sum(wanted[g] * cross_entropy(row, g) for g in range(len(row))))
    return sum(losses) / len(losses)


def guide_target(image_features, prototypes, labels, num_chosen):
    """Returns the guide's distribution over experts, image by image."""
    rows = []
    for f, y in zip(image_features, labels, strict=True):
        scores = [float(f @ prototypes[g, int(y)]) for g in range(len(prototypes))]
        for g in sorted(range(len(scores)), key=lambda g: -scores[g])[:num_chosen]:
            scores[g] += 10.0
        total = sum(math.exp(z) for z in scores)
        rows.append([math.exp(z) / total for z in scores])
    return torch.tensor(rows)


def few_shot(train, val, shots, seed):
    """Returns CoOp's selection of (label, index) items, with the global generator as there."""
    state = random.getstate()
    random.seed(seed)
    try:
        return _select(train, shots), _select(val, min(shots, 4))
    finally:
        random.setstate(state)


def _select(items, shots):
    selection = []
    labels = []
    for label, _ in items:
        if label not in labels:
            labels.append(label)
    for label in labels:
        own = [item for item in items if item[0] == label]
        if len(own) >= shots:
            own = random.sample(own, shots)
        selection.extend(own)
    return selection


def tip_logits(features, text_features, scale, keys, values, alpha, beta):
    """Returns Tip-Adapter's logits (batch, classes), image by image and shot by shot."""
    rows = []
    for f in features:
        row = []
        for c in range(len(text_features)):
            logit = scale * (f @ text_features[c])
            for key, value in zip(keys, values, strict=True):
                logit = logit + alpha * torch.exp(-beta * (1 - f @ key)) * value[c]
            row.append(logit)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def best_tip_mixture(features, labels, text_features, scale, keys, values, alphas, betas):
    """Returns (accuracy in percent, alpha, beta), the first of the best over the whole grid."""
    best = (-1.0, None, None)
    for beta in betas:
        for alpha in alphas:
            hits = 0
            for f, y in zip(features.tolist(), labels.tolist(), strict=True):
                logits = [scale * _dot(f, text) for text in text_features.tolist()]
                for key, value in zip(keys.tolist(), values.tolist(), strict=True):
                    logits[value.index(1)] += alpha * math.exp(-beta * (1 - _dot(f, key)))
                hits += logits.index(max(logits)) == y
            if 100.0 * hits / len(labels) > best[0]:
                best = (100.0 * hits / len(labels), alpha, beta)
    return best


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def probe_peak(accuracy):
    """Returns all (C, accuracy) in the order tried and the best C, by CoOp's kind of search."""
    exponents = [-6, -4, -2, 0, 2, 4, 6]
    tried = [(10.0**exponent, accuracy(10.0**exponent)) for exponent in exponents]
    peak = max(exponents, key=lambda at: (accuracy(10.0**at), -abs(at), at))
    distance = 1.0
    for _ in range(8):
        left, right = peak - distance, peak + distance
        tried += [(10.0**left, accuracy(10.0**left)), (10.0**right, accuracy(10.0**right))]
        peak = max((left, peak, right), key=lambda at: (accuracy(10.0**at), -abs(at), at))
        distance /= 2
    return tried, 10.0**peak


def coops_probe_peak(accuracy):
    """Returns the same by CoOp's own search: from the largest C down, then eight halvings."""
    tried = []
    best = None
    for exponent in (6, 4, 2, 0, -2, -4, -6):
        tried.append((10.0**exponent, accuracy(10.0**exponent)))
        if best is None or tried[-1][1] > best[1]:
            best = (exponent, tried[-1][1])
    left, right = best[0] - 1.0, best[0] + 1.0
    for _ in range(8):
        at_left, at_right = accuracy(10.0**left), accuracy(10.0**right)
        tried += [(10.0**left, at_left), (10.0**right, at_right)]
        if at_right > at_left:
            last, left = right, left + (right - left) / 2
        else:
            last, right = left, left + (right - left) / 2
    return tried, 10.0**last

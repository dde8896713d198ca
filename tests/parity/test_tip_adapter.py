"""Tip-Adapter-F in plain words: logits, five steps of training, and the published search."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mocoop.classifiers.tip_adapter import fit_tip_adapter, tip_logits
from mocoop.classifiers.tip_search import published_search
from tests.parity import rivals
from tests.support.method_cases import features_of

SCALE = 10.0
CLOSE = {"rtol": 0.0, "atol": 1e-5}  # features and keys are about 1 long


def test_logits_are_equal():
    images, texts, keys = features_of(7), features_of(4, seed=1), features_of(9, seed=2)
    labels = torch.arange(9) % 4
    values = F.one_hot(labels, 4).float()
    ours = tip_logits(images, texts, SCALE, keys, values, 1.17, 5.5)
    theirs = rivals.tip_logits(images, texts, SCALE, keys, labels, 1.17, 5.5)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


def test_training_and_search_are_equal():
    """One step in each of five epochs, each on its own crops; then all 4,000 pairs in order."""
    texts, val, val_labels = features_of(4, seed=1), features_of(11, seed=5), torch.arange(11) % 4
    labels, crops = (
        torch.arange(8) % 4,
        torch.stack([features_of(8, seed=s) for s in range(6, 11)]),
    )
    keys = features_of(8, seed=2)
    found = fit_tip_adapter(
        keys, labels, val, val_labels, texts, SCALE, fine_tune=True, crops=crops, epochs=5,
        generator=torch.Generator(), search=published_search("dtd"), batch_size=256,
    )  # fmt: skip
    learned = keys.clone().requires_grad_()
    optimizer = torch.optim.AdamW([learned], lr=0.001, eps=1e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    for images in crops:
        logits = rivals.tip_logits(images, texts, SCALE, learned, labels, 2.0, 1.0)
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        cosine.step()
    torch.testing.assert_close(found.keys, learned.detach(), **CLOSE)
    best = (0.0, 0.0, 0.0)
    similar = val @ found.keys.T
    for b in range(200):
        beta = b * (13 - 0.1) / 200 + 0.1
        votes = torch.exp(-(beta - beta * similar)) @ F.one_hot(labels, 4).float()
        for a in range(20):
            alpha = a * (13 - 0.1) / 20 + 0.1
            logits = SCALE * val @ texts.T + alpha * votes
            accuracy = 100 * (logits.argmax(dim=1) == val_labels).sum().item() / 11
            if accuracy > best[0]:
                best = (accuracy, beta, alpha)
    assert best == (found.val_accuracy, found.beta, found.alpha)
    assert found.beta != 0.1

"""pFedMoAP's gate and logits against a plain loop over images, classes, heads and experts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mocoop.errors import UserError
from mocoop.federated.attention_gate import HEADS, SHARPNESS, AttentionGate


def unit(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def plain(gate, images, texts):
    """One head, class and image after the other."""
    size = gate.query.weight.shape[0]
    width, experts, classes = size // HEADS, *texts.shape[:2]
    mixed, weights = [], []
    for image in images:
        query = gate.query(image[:: gate.stride])
        for label in range(classes):
            keys = [gate.key(texts[g, label, :: gate.stride]) for g in range(experts)]
            values = [gate.value(texts[g, label, :: gate.stride]) for g in range(experts)]
            heads = []
            for head in range(HEADS):
                part = slice(head * width, (head + 1) * width)
                scores = torch.stack([SHARPNESS * (query[part] @ key[part]) for key in keys])
                share = scores.softmax(dim=0)
                weights.append(share)
                heads.append(sum(a * value[part] for a, value in zip(share, values, strict=True)))
            mixed.append(gate.out(torch.cat(heads)))
    shape = len(images), classes
    return (
        torch.stack(mixed).view(*shape, size),
        torch.stack(weights).view(len(images), classes * HEADS, experts).mean(dim=1),
    )


def test_the_gate_equals_a_plain_loop_with_its_gradients():
    images, texts = unit(3, 512, seed=1), unit(4, 5, 512, seed=2)
    gates = [AttentionGate(512), AttentionGate(512)]
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for first, second in zip(*(gate.parameters() for gate in gates), strict=True):
            first.add_(0.05 * torch.randn(first.shape, generator=generator))
            second.copy_(first)
    results = []
    for gate, forward in zip(gates, (AttentionGate.forward, plain), strict=True):
        leaf = texts.clone().requires_grad_()
        mixed, weights = forward(gate, images, leaf)
        mixed.square().sum().backward()
        results.append((mixed, weights, leaf.grad, *(p.grad for p in gate.parameters())))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in gates[0].parameters()) == 66_048  # as published


def test_an_untrained_gate_is_an_average_by_similarity():
    images, texts = unit(2, 128, seed=1), unit(3, 4, 128, seed=2)
    gate = AttentionGate(128)
    mixed, weights = gate(images, texts)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2))
    same = texts[:1].expand(3, -1, -1)
    torch.testing.assert_close(gate(images, same)[0], texts[0].expand(2, -1, -1))
    closest = torch.cat([texts[:2], images[:1, None].expand(1, 4, 128)])
    assert gate(images, closest)[1][0].argmax() == 2
    assert mixed.shape == (2, 4, 128)


def test_features_that_cannot_be_divided_among_the_heads_are_told():
    with pytest.raises(UserError, match="this CLIP are 100 wide, of which it uses 100"):
        AttentionGate(100)

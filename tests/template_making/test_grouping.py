"""Grouping: known groups are found, by either method, the same in every process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from mocoop.errors import UserError
from mocoop.template_making import grouping
from mocoop.template_making.controls import HAND, ONE, RANDOM, WAFFLE, controls, random_words
from mocoop.template_making.group_number import choose_number
from mocoop.template_making.grouping import (
    agreement,
    average_linkage,
    by_size,
    centred,
    medoid_first,
    merge_small,
    silhouette,
    spherical_kmeans,
    split,
)
from mocoop.template_making.routing import fit, prototypes_of, routed_accuracy, shares
from mocoop.template_making.text_features import class_bootstraps, encoded_classes

TRUE = np.repeat([0, 1, 2], [12, 9, 6])


def bundles(seed=0, noise=0.25, shared=8.0):
    """Returns features (27, 10, 20) of three kinds of templates, which a shared part hides."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(3, 20))
    rest = noise * generator.normal(size=(len(TRUE), 10, 20))
    features = centres[TRUE][:, None] + rest + shared
    return torch.from_numpy(features / np.linalg.norm(features, axis=-1, keepdims=True)).float()


def test_centring_shows_the_groups():
    means = bundles().double().mean(dim=1).numpy()
    raw = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert (raw @ raw.T).min() > 0.8
    vectors = centred(means)
    assert silhouette(vectors, TRUE, 0) > 0.5
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert not centred(np.ones((4, 3))).any()


@pytest.mark.parametrize("method", ["kmeans", "linkage"])
def test_known_groups_are_found(method):
    features = bundles()
    means = features.double().mean(dim=1).numpy()
    drawn = class_bootstraps(features, 4, 1)
    chosen = choose_number(means, drawn, method, 1)
    assert (chosen.best.labels == TRUE).all()  # also numbered by size
    assert chosen.best.count == 3
    assert chosen.best.stability == pytest.approx(1.0)
    assert [one.count for one in chosen.tried] == list(range(3, 9))
    assert choose_number(means, drawn, method, 1, count=2).best.groups == 2
    far = choose_number(means, drawn[:2], method, 1, count=40)
    assert "27 templates make at most 13 groups" in far.why


def test_validation_decides_among_good_numbers():
    features = bundles(noise=0.0)
    means = features.double().mean(dim=1).numpy()
    asked = []

    def accuracy(labels):
        asked.append(int(labels.max()) + 1)
        return 50.0

    chosen = choose_number(means, [means], "linkage", 1, rule="validation", accuracy=accuracy)
    assert chosen.best.count == 3  # all are as accurate: the smallest number
    assert chosen.best.validation == 50.0
    assert "best accuracy on validation images" in chosen.why
    assert len(asked) == 6
    means = bundles().double().mean(dim=1).numpy()
    finer = choose_number(
        means, [means], "kmeans", 1, rule="validation", accuracy=lambda labels: labels.max()
    )
    assert finer.best.groups > 3
    both = choose_number(means, [means], "kmeans", 1, accuracy=lambda labels: labels.max())
    assert both.best.groups == 3  # its silhouette leaves no other
    assert both.why.startswith("this number has the best silhouette, of those numbers")


def test_what_cannot_be_split():
    for means in (np.ones((1, 4)), np.eye(3), np.ones((6, 4))):
        chosen = choose_number(means, [means], "kmeans", 1)
        assert chosen.best.groups == 1
        assert "too few different templates" in chosen.why
    with pytest.raises(UserError, match="at most 5,000 templates, but there are 5,001"):
        average_linkage(np.zeros((5001, 2)), 2)


def test_kmeans_improves_what_it_says():
    """No single move of a template to another group raises the summed cosine to the centres."""
    vectors = centred(np.random.default_rng(3).normal(size=(30, 5)))
    labels = spherical_kmeans(vectors, 4, 1)
    centres = np.stack([vectors[labels == g].sum(axis=0) for g in range(4)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    assert ((vectors @ centres.T).argmax(axis=1) == labels).all()
    assert len(np.unique(spherical_kmeans(np.ones((5, 3)), 3, 1))) <= 3


def test_single_templates_join_the_nearest_group():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [0.3, 1.0]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    merged = merge_small(vectors, np.array([0, 0, 1, 1, 2]))
    assert merged.tolist() == [0, 0, 1, 1, 1]
    assert merge_small(vectors[:2], np.array([0, 1])).tolist() in ([0, 0], [1, 1])
    assert by_size(np.array([5, 3, 3, 9])).tolist() == [1, 0, 0, 2]
    assert split(vectors, 2, "linkage", 0).tolist() == [1, 1, 0, 0, 0]


def test_the_medoid_is_first():
    angles = np.radians([0, 20, 45, 50])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    members = np.array([0, 1, 2, 3])
    means = [np.mean([np.cos(a - b) for b in angles]) for a in angles]
    assert medoid_first(vectors, members) == list(np.argsort(means)[::-1])
    assert agreement(TRUE, TRUE + 5) == pytest.approx(1.0)


@pytest.mark.long
def test_same_seed_same_groups_in_two_processes():
    code = (
        "import numpy as np; from mocoop.template_making.grouping import centred, split\n"
        "v = centred(np.random.default_rng(0).normal(size=(80, 16)))\n"
        "print(split(v, 5, 'kmeans', 3).tolist(), split(v, 5, 'linkage', 3).tolist())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    vectors = grouping.centred(np.random.default_rng(0).normal(size=(80, 16)))
    here = split(vectors, 5, "kmeans", 3).tolist(), split(vectors, 5, "linkage", 3).tolist()
    assert said == {f"{here[0]} {here[1]}\n"}


def test_routing_equals_plain_loops(generator):
    images = torch.nn.functional.normalize(torch.randn(9, 6, generator=generator), dim=-1)
    features = torch.nn.functional.normalize(torch.randn(7, 4, 6, generator=generator), dim=-1)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    truth = torch.randint(4, (9,), generator=generator)
    prototypes = prototypes_of(features, labels)
    group = features[labels == 1].mean(dim=0)
    torch.testing.assert_close(prototypes[1], group / group.norm(dim=-1, keepdim=True))
    best = torch.stack([(images @ one.T).max(dim=1).values for one in prototypes], dim=1)
    suits = best - best.mean(dim=0)
    torch.testing.assert_close(fit(images, prototypes), suits)
    hits, used = 0, [0, 0, 0]
    for image in range(9):
        first, second = sorted(range(3), key=lambda g: -suits[image, g])[:2]
        weights = (5.0 * suits[image, [first, second]]).softmax(dim=0)
        logits = sum(
            w * prototypes[g] @ images[image]
            for w, g in zip(weights, (first, second), strict=True)
        )
        hits += int(logits.argmax() == truth[image])
        used[first] += 1
        used[second] += 1
    assert routed_accuracy(images, truth, prototypes, 5.0) == pytest.approx(100 * hits / 9)
    assert shares(images, prototypes) == pytest.approx([n / 9 for n in used])


def test_controls(tokenizer):
    groups = {"a": tuple(f"a{n} {{}}." for n in range(5)), "b": ("b {}.", "c {}.")}
    hand = {"photo": ("a photo of a {}.",)}
    every = [text for some in groups.values() for text in some]
    found = controls(groups, every, hand, tokenizer, ["cat", "hot dog"], 1)
    assert found == controls(groups, every, hand, tokenizer, ["cat", "hot dog"], 1)
    every = [t for ts in groups.values() for t in ts]
    assert found[HAND] == hand
    assert found[ONE] == {"all": tuple(every)}
    for name in (RANDOM, WAFFLE):
        assert [len(ts) for ts in found[name].values()] == [5, 2]
    assert sorted(t for ts in found[RANDOM].values() for t in ts) == sorted(every)
    words = random_words(tokenizer, ["hot dog"], 30, 1)
    assert len(set(words)) == 30
    assert all(len(t.removeprefix("a photo of a {}, which has ").split()) == 2 for t in words)
    assert random_words(tokenizer, ["hot dog"], 30, 2) != words
    short = random_words(tokenizer, ["A", "B"], 1500, 1)  # more than there are pairs of letters
    assert len(set(short)) == 1500


def test_many_templates_are_encoded_for_fewer_classes():
    assert encoded_classes(range(7), 10, 1) == list(range(7))
    some = encoded_classes(range(1000), 10_000, 1)
    assert len(some) == 20
    assert some == sorted(some) == encoded_classes(range(1000), 10_000, 1)

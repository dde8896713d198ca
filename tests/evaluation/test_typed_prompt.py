"""A typed sentence: its checks, its accuracy by part, and what an edited group does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mocoop.datasets.base import Item
from mocoop.datasets.builtin import SceneItem
from mocoop.errors import UserError
from mocoop.evaluation.typed_prompt import (
    GroupEffect,
    group_effect,
    known_parts,
    part_scores,
    typed_template,
)
from tests.support.routed_example import routed_items


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("a photo of a {}.", "a photo of a {}."),
        ("  a   photo\n of\t a {} ", "a photo of a {}"),
        ("<b>{}</b> & *stars*", "<b>{}</b> & *stars*"),
        ("{}", "{}"),
    ],
)
def test_sentences_become_templates(text, template):
    assert typed_template(text) == template


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"Type a sentence with \{\}"),
        ("   \n", r"Type a sentence with \{\}"),
        ("a photo of a cat", "has no place for the class name. Write"),
        ("a photo of a {cat}", "Leave nothing between the braces"),
        ("a {} beside a {}", r"has \{\} 2 times. Keep one"),
        ("photos of {}s", "letter or digit next to"),
    ],
)
def test_other_sentences_say_what_to_do(text, words):
    with pytest.raises(UserError, match=words):
        typed_template(text)


def test_a_long_sentence_is_not_repeated_in_whole():
    with pytest.raises(UserError) as error:
        typed_template("word " * 400)
    assert len(str(error.value)) < 250


def test_a_sentence_longer_than_the_context(demo_backbone):
    template = typed_template("word " * 400 + "{}")
    with pytest.raises(UserError, match=r"has \d+ tokens, but this CLIP reads at most"):
        demo_backbone.text.encode_template(template, ("cat",))


def test_accuracy_by_style():
    scores = part_scores(routed_items())
    assert [(s.kind, s.name, s.images, s.accuracy) for s in scores] == [
        ("all", "", 4, 50.0),
        ("style", "photo", 2, 50.0),
        ("style", "sketch", 2, 50.0),
    ]


def test_roles_are_known_of_scenes():
    tested = routed_items()
    roles = ("large", "small", "large", "small")
    scenes = [
        SceneItem(item.id, item.label, "photo", role)
        for item, role in zip(tested.items, roles, strict=True)
    ]
    scores = part_scores(replace(tested, items=tuple(scenes)))
    assert [(s.kind, s.name, s.accuracy) for s in scores] == [
        ("all", "", 50.0),
        ("role", "large", 100.0),  # the images 0 and 2
        ("role", "small", 0.0),
    ]


def test_a_role_that_follows_from_the_style_is_not_a_part_of_its_own():
    drawn = [("photo", "large"), ("sketch", "small"), ("photo", "large")]
    items = [SceneItem(str(row), 0, *pair) for row, pair in enumerate(drawn)]
    named = ["photo (role: large)", "sketch (role: small)", "photo (role: large)"]
    assert known_parts(items) == {"style": named}
    mixed = [*items, SceneItem("3", 0, "photo", "small")]
    assert list(known_parts(mixed)) == ["style", "role"]


def test_parts_that_are_not_known_or_all_the_same_are_left_out():
    assert known_parts([Item("a", 0, "dark"), Item("b", 0, None)]) == {}
    assert known_parts([Item("a", 0, "dark"), Item("b", 0, "dark")]) == {}


def slow_effect(features, labels, prototypes, expert, gate, scale, chosen):
    """Returns the same as `group_effect`, image by image."""
    alone = mixed = 0
    target = [0] * len(prototypes)
    for feature, label in zip(features, labels.tolist(), strict=True):
        alone += int((prototypes[expert] @ feature).argmax()) == label
        scores = gate.weight @ feature + gate.bias
        order = scores.argsort(descending=True)[:chosen]
        weights = scores[order].softmax(dim=0)
        logits = sum(
            w * scale * (prototypes[e] @ feature) for w, e in zip(weights, order, strict=True)
        )
        mixed += int(logits.argmax()) == label
        target[max(range(len(prototypes)), key=lambda e: prototypes[e, label] @ feature)] += 1
    share = 100 / len(labels)
    return GroupEffect(alone * share, mixed * share, tuple(count * share for count in target))


def test_a_group_does_what_the_slow_loop_says(generator):
    draw = lambda *shape: F.normalize(torch.randn(*shape, generator=generator), dim=-1)
    features, prototypes = draw(40, 8), draw(3, 5, 8)
    labels = torch.randint(5, (40,), generator=generator)
    gate = torch.nn.Linear(8, 3)
    for expert in range(3):
        given = (features, labels, prototypes, expert, gate, 20.0, 2)
        found, slow = group_effect(*given), slow_effect(*given)
        assert found.alone == pytest.approx(slow.alone)
        assert found.mixed == pytest.approx(slow.mixed)
        assert found.target == pytest.approx(slow.target)
        assert sum(found.target) == pytest.approx(100)

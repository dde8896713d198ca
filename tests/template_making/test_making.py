"""From candidates to groups with a CLIP: every check with its reason, groups and their file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mocoop import preset
from mocoop.datasets import load_dataset
from mocoop.datasets.splits import few_shot_items
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.template_making.candidates import Candidate
from mocoop.template_making.feature_checks import class_likeness
from mocoop.template_making.making import GroupingSettings, TemplateMaker
from mocoop.template_making.record import groups_hash, refusals
from mocoop.template_making.text_features import TextFeatures, mean_vectors
from tests.support.chat_server import TEMPLATES
from tests.support.tiny_data import picture_folder

CANDIDATES = [Candidate(text, factor) for factor, texts in TEMPLATES.items() for text in texts]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return load_dataset(picture_folder(tmp_path_factory.mktemp("cups") / "cups"))


@pytest.fixture
def maker(tiny_backbone, folder, tmp_path):
    """Returns a function that makes a maker with changed settings; by default it uses k-means."""

    def make(expected=0, data=folder, **changes):
        cache = FeatureCache(tiny_backbone, tmp_path)
        settings = GroupingSettings(**({"method": "kmeans"} | changes))
        return TemplateMaker(tiny_backbone, data, cache, settings, expected)

    return make


def judged_as(maker, *texts):
    return maker.judge([Candidate(text, "own") for text in texts])


def test_features_are_those_of_the_tower(tiny_backbone):
    names = ["cat", "hot_dog", "bee"]
    texts = TextFeatures(tiny_backbone.text, names)
    templates = ["a photo of a {}.", "a very old {} in the snow, from above."]
    plain = torch.stack([tiny_backbone.text.encode_template(t, names) for t in templates])
    torch.testing.assert_close(texts.of(templates), plain, atol=1e-5, rtol=1e-4)
    assert torch.equal(texts.of(templates[::-1])[1], texts.of(templates)[0])  # encoded once
    expected = plain[0].double().mean(dim=0).numpy()
    np.testing.assert_allclose(mean_vectors(plain)[0], expected)
    pairs = [float(plain[0, i] @ plain[0, j]) for i in range(3) for j in range(3) if i != j]
    assert class_likeness(plain[0]) == pytest.approx(np.mean(pairs), abs=1e-5)


def test_lengths_are_counted_by_the_clips_tokenizer(maker, folder):
    found = judged_as(maker(), "a blurry photo of a {}, seen.", "x {}", "a {} " + "q9z" * 12)
    assert (found[0].tokens_before, found[0].tokens_after) == (5, 3)
    assert found[0].reason == ""
    assert "2 tokens besides the class name; 3 to 16 are used" in found[1].reason
    assert "tokens besides the class name" in found[2].reason
    long = replace(folder, class_names=("cup " * 70 + "end", *folder.class_names[1:]))
    found = maker(data=long).checks._by_words([Candidate("a blurry photo of a {}.", "own")])
    assert "tokens with the class name" in found[0].reason
    assert "reads at most 77" in found[0].reason


def test_duplicates(maker):
    """Equal texts and texts with nearly equal features; the shorter one stays."""
    found = judged_as(maker(), *[c.template for c in CANDIDATES], "A sketch of a {}")
    assert found[-1].reason == "the same as an earlier candidate"
    tool = maker()
    features = torch.nn.functional.normalize(torch.randn(4, 3, 8), dim=-1)
    features[2] = features[0] + 0.001 * torch.randn(3, 8)
    some = [
        replace(one, tokens_before=n, reason="")
        for one, n in zip(found[:4], (9, 4, 5, 4), strict=True)
    ]
    kept = tool.checks._refuse_duplicates(some, features)
    assert [one.kept for one in kept] == [False, True, True, True]
    assert kept[0].reason == f"nearly the same as {some[2].template!r}"
    same = tool.checks._refuse_duplicates(some, features[:1].expand(4, -1, -1))
    assert [one.kept for one in same] == [False, True, False, False]


def test_use_on_training_images(maker, monkeypatch):
    """Templates that classify worse, or make classes alike, are refused with numbers."""
    tool = maker()
    labels = tool.images.labels
    directions = torch.eye(tool.images.features.shape[1])[:3]
    object.__setattr__(tool.checks, "images", replace(tool.images, features=directions[labels]))
    alike = torch.nn.functional.normalize(directions + 3.0 * directions.mean(dim=0), dim=-1)
    features = torch.stack([directions, directions, directions.roll(1, 0), alike])
    monkeypatch.setattr(TextFeatures, "of", lambda *given: directions[None])
    some = tool.checks._by_words(CANDIDATES[:4])
    found = tool.checks._refuse_useless(some, features)
    assert [one.accuracy for one in found] == [100.0, 100.0, 0.0, 100.0]
    assert found[0].kept
    assert found[1].kept
    assert found[2].reason.startswith(
        "0.0 % of the training images, below 95.0 % (median minus 5)"
    )
    assert found[3].reason == "makes all classes look alike"
    assert refusals(found) == {
        "worse than the others on the training images": 1,
        "makes all classes look alike": 1,
    }


def test_groups(maker, folder):
    """They hold each kept template once, repeat with the seed, and have controls."""
    tool = maker(count=3)
    made = tool.group(judged := tool.judge(CANDIDATES))
    kept = [one.template for one in judged if one.kept]
    assert sorted(t for ts in made.groups.values() for t in ts) == sorted(kept)
    assert list(made.shares) == list(made.groups)
    assert sum(made.shares.values()) == pytest.approx(min(2, len(made.groups)))
    again = maker(count=3)
    assert groups_hash(again.group(again.judge(CANDIDATES)).groups) == groups_hash(made.groups)
    assert set(made.controls) == {"one-group", "random-groups", "random-words", "hand-made"}
    assert made.controls["hand-made"].groups == folder.templates.groups
    for value in (made.validation, *(c.validation for c in made.controls.values())):
        assert 0 <= value <= 100
    assert made.method == "kmeans"
    linked = maker(rule="validation", method="linkage")
    assert linked.group(linked.judge(CANDIDATES)).method == "linkage"


def test_groups_by_images(maker):
    """What no image needs is kept, but in no group; controls draw from all templates."""
    tool = maker(method="images")
    judged = tool.judge(CANDIDATES)
    made = tool.group(judged)
    inside = [text for texts in made.groups.values() for text in texts]
    left = [one.template for one in made.judged if one.in_no_group]
    assert left
    assert sorted(left + inside) == sorted(one.template for one in made.judged if one.kept)
    assert [one.reason for one in made.judged] == [one.reason for one in judged]
    assert len(set(made.controls["one-group"].groups["all"]) | set(inside)) > len(inside)
    assert len(tool.group(tool.judge(CANDIDATES)).groups) == len(made.groups)
    texts = tool.grouping_by("kmeans")
    assert texts.texts is tool.texts
    assert texts.group(texts.judge(CANDIDATES)).method == "kmeans"


def test_test_images_are_not_looked_at(maker, folder):
    tool = maker()
    made = tool.group(tool.judge(CANDIDATES))
    bare = replace(folder, splits={**folder.splits, "test": ()})
    other = maker(data=bare)
    assert other.group(other.judge(CANDIDATES)).groups == made.groups
    blind = maker(data=replace(folder, splits={**folder.splits, "val": ()}))
    made = blind.group(blind.judge(CANDIDATES))
    assert made.validation is None


def test_the_images_are_those_of_a_run(maker, folder):
    """Classes are selected after sampling, so that no other images are seen than in training."""
    for classes in ("all", "base"):
        for seed in range(3):
            config = preset("mocoop", data=folder.source, shots=2, classes=classes, seed=seed)
            tool = maker(shots=2, classes=classes, seed=seed)
            assert (tuple(tool._train), tuple(tool._val)) == few_shot_items(config, folder)


def test_nothing_is_chosen_on_test_images(maker, folder):
    """On ImageNet, say, whose validation images are those that runs are tested on."""
    both = replace(folder, splits={**folder.splits, "val": folder.splits["test"]})
    tool = maker(data=both)
    made = tool.group(tool.judge(CANDIDATES))
    assert made.validation is None
    assert all(one.validation is None for one in made.chosen.tried)


def test_few_templates(maker):
    tool = maker()
    made = tool.group(judged_as(tool, *["a photo of a {}."] * 5))
    assert list(made.groups.values()) == [("a photo of a {}.",)]
    assert made.remarks[0].startswith("There is one group: there are too few")
    with pytest.raises(UserError, match=r"The only candidate was refused.*is there 0 times"):
        tool.group(judged_as(tool, "a photo."))
    with pytest.raises(UserError, match="All 2 candidates were refused"):
        tool.group(judged_as(tool, "a photo.", "a red cup and a {}."))
    with pytest.raises(UserError, match="There is no candidate"):
        tool.group(())


def test_base_classes(maker, folder):
    tool = maker(classes="base")
    assert tool.class_names == list(folder.class_names[:2])
    assert "names a class" in judged_as(tool, "a red cup with a {}.")[0].reason  # a new class


def test_what_cannot_be_made(maker, folder):
    with pytest.raises(UserError, match="no training images, on which templates are tried"):
        maker(data=replace(folder, splits={**folder.splits, "train": ()}))
    with pytest.raises(UserError, match="10,001 candidates"):
        maker(expected=10_001)
    two = replace(folder, class_names=folder.class_names[:2], splits={"train": ()})
    with pytest.raises(UserError, match="too few classes"):
        maker(data=two, classes="base")
    for wrong in ({"shots": 0}, {"count": -1}, {"seed": -1}, {"method": "k-means"}):
        with pytest.raises(UserError):
            GroupingSettings(**wrong)

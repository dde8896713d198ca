"""Proposed groups: chosen as plain loops would, on training images alone."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from mocoop.analysis.group_proposals import (
    LEAST_GAIN,
    Proposed,
    _greedy,
    candidate_groups,
    propose_groups,
)
from mocoop.cli.main import main
from mocoop.datasets import load_dataset
from mocoop.datasets.edits import read_edits
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from tests.support.image_files import add_files


def plain_mean(scores, fit, groups):
    """Returns the mean score when every image takes the group that stands out most for it."""
    total = 0.0
    for image in range(len(scores)):
        taken = max(groups, key=lambda group: fit[image, group].item())
        total += scores[image, taken].item()
    return total / len(scores)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_equals_plain_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = -torch.rand(40, 7, generator=generator)
    fit = torch.randn(40, 7, generator=generator)
    order, gains = _greedy(scores, fit, 5)
    chosen: list[int] = []
    best = 0.0
    while len(chosen) < 5:
        means = {
            group: plain_mean(scores, fit, [*chosen, group])
            for group in range(7)
            if group not in chosen
        }
        group = max(means, key=lambda g: means[g])
        if chosen and means[group] - best < LEAST_GAIN:
            break
        chosen.append(group)
        best = means[group]
    assert order == chosen
    assert sum(gains[1:]) == pytest.approx(best - plain_mean(scores, fit, order[:1]), abs=1e-6)


def test_kinds_of_images_get_a_group_each():
    """Two kinds of images, a group that suits each, and one that suits neither well."""
    kind = torch.tensor([0, 1] * 10)
    suits = torch.nn.functional.one_hot(kind, 2).float()
    scores = torch.cat([suits - 1.0, torch.full((20, 1), -0.6)], dim=1)
    fit = torch.cat([suits, torch.full((20, 1), 0.5)], dim=1)
    order, gains = _greedy(scores, fit, 3)
    assert sorted(order) == [0, 1]
    assert gains == [0.0, pytest.approx(0.5)]


def test_a_second_group_that_does_not_help_is_not_offered():
    """Neither one that makes it worse nor one whose gain would be shown as 0.000."""
    generator = torch.Generator().manual_seed(1)
    fit = torch.randn(20, 2, generator=generator)
    for gain in (-0.1, 0.0, LEAST_GAIN / 2):
        scores = torch.tensor([[-1.0, -1.0 + gain]]).repeat(20, 1)
        order, gains = _greedy(scores, fit, 2)
        assert len(order) == 1
        assert gains == [0.0]
    assert not Proposed({"photo": ("a {}.",)}, {"photo": 1.0}, {"photo": 0.0}).enough


def test_proposed_groups(demo_backbone, tmp_path):
    """They are the same every time, and each one after the second helps."""
    data, cache = load_dataset("details"), FeatureCache(demo_backbone, tmp_path)
    found = propose_groups(demo_backbone, data, cache, count=5)
    assert found.enough
    assert len(found.groups) <= 5
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert all(gain > 0 for gain in list(found.gains.values())[1:])
    assert propose_groups(demo_backbone, data, cache, count=5) == found
    assert len(propose_groups(demo_backbone, data, cache, count=2).groups) == 2


def test_nothing_is_chosen_on_test_images(demo_backbone, tmp_path):
    data, cache = load_dataset("digits"), FeatureCache(demo_backbone, tmp_path)
    found = propose_groups(demo_backbone, data, cache, count=3)
    shuffled = list(data.items("test"))
    random.Random(0).shuffle(shuffled)
    other = replace(data, splits={**data.splits, "val": (), "test": tuple(shuffled[:5])})
    assert propose_groups(demo_backbone, other, cache, count=3) == found


def test_what_cannot_be_proposed(demo_backbone, tmp_path):
    data, cache = load_dataset("digits"), FeatureCache(demo_backbone, tmp_path)
    with pytest.raises(UserError, match="number of groups must be at least 1; got 0"):
        propose_groups(demo_backbone, data, cache, count=0)
    empty = replace(data, splits={**data.splits, "train": ()})
    with pytest.raises(UserError, match="digits has no training images, which are needed"):
        propose_groups(demo_backbone, empty, cache)


def test_candidates_do_not_repeat_templates():
    data = load_dataset("details")
    groups = candidate_groups(data)
    every = [t.lower().rstrip(".") for ts in groups.values() for t in ts]
    assert len(every) == len(set(every))
    assert list(groups)[: len(data.templates.groups)] == list(data.templates.groups)
    assert groups["origami"] == ("an origami {}.",)


def test_templates_of_ones_own_stay_to_the_letter():
    data = load_dataset("details")
    own = {"odd": ("a odd {}.",)}
    data = replace(data, templates=replace(data.templates, groups=own))
    assert candidate_groups(data)["odd"] == own["odd"]


@pytest.fixture
def pets(tmp_path, workspace):
    """A folder of two classes of small pictures."""
    names = [f"{c}/{n}.png" for c in ("cat", "dog") for n in range(6)]
    add_files(tmp_path / "pets", *names)
    return tmp_path / "pets"


def propose_from(monkeypatch, *gains):
    """Lets a proposal have groups of these gains."""
    names = ["photo", "toy", "sketch"][: len(gains)]
    groups = {name: (f"a {name} of a {{}}.",) for name in names}
    made = Proposed(groups, dict.fromkeys(names, 0.5), dict(zip(names, gains, strict=True)))
    monkeypatch.setattr("mocoop.analysis.group_proposals.propose_groups", lambda *args: made)
    return groups


def test_groups_are_written_once(pets, capsys, monkeypatch):
    """They are added beside the comments; others are replaced only when that is said."""
    groups = propose_from(monkeypatch, 0.0, 0.25)
    (pets / "mocoop.yaml").write_text("# Mine.\nzero_shot: a {}.\n".replace("a {}.", "'a {}.'"))
    assert main(["data", "groups", str(pets), "--write"]) == 0
    printed = capsys.readouterr()
    assert "toy: adds 0.250 nats" in printed.out
    assert "log-probability of the correct class" in printed.out
    assert "No further group helps" in printed.out
    assert "was trained only on its own drawings" in printed.err
    text = (pets / "mocoop.yaml").read_text()
    assert text.startswith("# Mine.")
    assert read_edits(pets).groups == groups
    assert main(["data", "groups", str(pets), "--write"]) == 2
    assert "has groups already. Replace them with --replace" in capsys.readouterr().err
    assert (pets / "mocoop.yaml").read_text() == text
    groups = propose_from(monkeypatch, 0.0, 0.2, 0.1)
    assert main(["data", "groups", str(pets), "--replace"]) == 0
    assert read_edits(pets).groups == groups
    assert (pets / "mocoop.yaml.bak").read_text() == text


def test_a_proposal_of_one_group_keeps_the_usual_ones(pets, capsys, monkeypatch):
    propose_from(monkeypatch, 0.0)
    assert main(["data", "groups", str(pets), "--write"]) == 0
    assert "No second group helps" in capsys.readouterr().out
    assert not (pets / "mocoop.yaml").exists()
    assert main(["data", "groups", "details", "--json"]) == 0
    assert "drawings" not in capsys.readouterr().err

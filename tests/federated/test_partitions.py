"""Partitions: every image has one owner, and the owners are what the kind says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mocoop.datasets import load_dataset
from mocoop.datasets.splits import few_shot_items
from mocoop.errors import UserError
from mocoop.federated.partitions import KINDS, make_partition, open_partition
from mocoop.presets import preset
from tests.support.tiny_data import picture_folder

ALBUMS = load_dataset("albums")
CONFIG = replace(preset("coop"), data="albums", shots=4, seed=2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_has_one_owner_and_the_seed_decides(kind):
    made = make_partition(kind, ALBUMS, CONFIG, 6)
    train, _ = few_shot_items(CONFIG, ALBUMS)
    for part, expected in (("train", train), ("test", ALBUMS.items("test"))):
        owned = [item.id for items in made.items(ALBUMS, part) for item in items]
        assert sorted(owned) == sorted(item.id for item in expected)
    assert make_partition(kind, ALBUMS, CONFIG, 6) == made
    assert make_partition(kind, ALBUMS, replace(CONFIG, seed=3), 6) != made


def test_pathological_clients_share_no_class():
    made = make_partition("pathological", ALBUMS, CONFIG, 6)
    train, test = made.items(ALBUMS, "train"), made.items(ALBUMS, "test")
    classes = [{item.label for item in items} for items in train]
    assert sum(map(len, classes)) == len(ALBUMS.class_names)
    assert max(map(len, classes)) - min(map(len, classes)) <= 1
    assert classes == [{item.label for item in items} for items in test]


def test_domain_clients_have_one_style_each():
    made = make_partition("domain", ALBUMS, CONFIG, 6)
    styles = [{item.style for item in items} for items in made.items(ALBUMS, "train")]
    assert [len(found) for found in styles] == [1] * 6
    assert set.union(*styles) == set(ALBUMS.styles)
    again = [{item.style for item in items} for items in made.items(ALBUMS, "test")]
    assert again == styles


def test_a_smaller_beta_is_more_unequal():
    def largest_share(beta):
        made = make_partition("dirichlet", ALBUMS, replace(CONFIG, shots=16), 4, beta)
        by_client = made.items(ALBUMS, "train")
        shares = []
        for label in range(len(ALBUMS.class_names)):
            counts = [sum(item.label == label for item in items) for items in by_client]
            shares.append(max(counts) / sum(counts))
        return sum(shares) / len(shares)

    assert largest_share(0.3) > largest_share(3.0) + 0.1 > largest_share(300.0) + 0.2


def test_a_partition_is_a_file(tmp_path):
    made = make_partition("dirichlet", ALBUMS, CONFIG, 4, 2.0)
    made.save(tmp_path / "who.json")
    assert open_partition(tmp_path / "who.json") == made
    with pytest.raises(UserError, match="is no train image of details"):
        made.items(load_dataset("details"), "train")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 0}', "[" * 100_000, '{"format": 1, "clients": 3}']
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "who.json").write_text(text)
    with pytest.raises(UserError, match="is no partition of images"):
        open_partition(tmp_path / "who.json")


def test_a_partition_of_a_newer_version_is_told(tmp_path):
    (tmp_path / "who.json").write_text('{"format": 2}')
    with pytest.raises(UserError, match=r"who\.json was written by a newer version of MoCoOp"):
        open_partition(tmp_path / "who.json")


def test_an_image_with_two_owners_is_refused(tmp_path):
    made = make_partition("pathological", ALBUMS, CONFIG, 4).to_dict()
    made["clients"][0]["train"] = [*made["clients"][0]["train"], made["clients"][1]["train"][0]]
    (tmp_path / "who.json").write_text(json.dumps(made))
    with pytest.raises(UserError, match="A train image of the partition belongs to two clients"):
        open_partition(tmp_path / "who.json")


@pytest.mark.parametrize(
    ("kind", "clients", "changes", "message"),
    [
        ("own", 4, {}, "Unknown partition 'own'"),
        ("pathological", 1, {}, "at least 2 clients"),
        ("pathological", 60, {}, "32 classes, so 60 clients cannot have classes of their own"),
        ("dirichlet", 900, {}, "900 clients cannot share 128 training images"),
        ("domain", 2, {}, "has 3 styles; every client has one"),
        ("dirichlet", 60, {"shots": 4}, "would have fewer than 2 training images or no test"),
    ],
)
def test_what_cannot_be_spread_is_said(kind, clients, changes, message):
    with pytest.raises(UserError, match=message):
        make_partition(kind, ALBUMS, replace(CONFIG, **changes), clients, 0.1)


def test_data_without_styles_have_no_domains(tmp_path):
    data = load_dataset(picture_folder(tmp_path / "pictures"))
    with pytest.raises(UserError, match="are not of several known styles"):
        make_partition("domain", data, CONFIG, 3)

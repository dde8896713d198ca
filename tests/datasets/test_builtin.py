"""The built-in sets of scenes: deterministic, disjoint, and known to the last thing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mocoop.config import TrainConfig
from mocoop.datasets.builtin import BUILTIN, load_builtin
from mocoop.datasets.builtin_cards import RULES
from mocoop.datasets.splits import base_size
from mocoop.errors import UserError

PRINT = """
import hashlib
from mocoop.config import TrainConfig
from mocoop.datasets.builtin import load_builtin
data = load_builtin("albums")
digest = hashlib.sha256()
for item in data.items("val")[:12]:
    digest.update(data.image(item).tobytes() + item.id.encode())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("name", [*BUILTIN, "albums-easy"])
def test_pictures_know_what_they_show(name):
    data = load_builtin(name)
    assert len(data.class_names) >= 10
    ids = [item.id for split in data.splits.values() for item in split]
    assert len(ids) == len(set(ids))
    for split in ("train", "val", "test"):
        labels = [item.label for item in data.items(split)]
        counts = np.bincount(labels, minlength=len(data.class_names))
        assert counts.min() >= {"train": 16, "val": 4, "test": 10}[split]
        for item in data.items(split):
            things = dict(item.things)
            assert things[item.role] == data.class_names[item.label]
            assert len(set(things.values())) == len(things)
    item = data.items("train")[1]
    assert data.image(item).size == (64, 64)
    assert data.image(item).tobytes() == load_builtin(name).image(item).tobytes()
    assert name in data.content_key(item)
    assert data.card.label in data.remarks


def test_pictures_of_different_splits_differ():
    data = load_builtin("details")
    seen = {}
    for split in ("train", "val", "test"):
        for item in data.items(split)[:40]:
            assert seen.setdefault(data.image(item).tobytes(), item.id) == item.id
    assert len(seen) == 120


def test_same_pictures_in_another_process():
    prints = {
        subprocess.run(
            [sys.executable, "-c", PRINT],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(prints) == 1


def test_styles_decide_in_albums():
    expected = {"photo": "large", "sketch": "small", "dark": "many"}
    for name in ("albums", "halves"):
        data = load_builtin(name)
        for item in data.items("test"):
            assert item.role == expected[item.style]
    assert {item.role for item in load_builtin("details").items("train")} == {"small"}


def test_halves_differ_in_their_mix():
    data = load_builtin("halves")
    half = base_size(len(data.class_names))
    share = {}
    for label_range in ((0, half), (half, len(data.class_names))):
        items = [i for i in data.items("train") if i.label in range(*label_range)]
        share[label_range[0]] = np.mean([item.role == "small" for item in items])
    assert share[0] > 0.6
    assert share[half] < 0.25


def test_base_and_new_halves_have_things_of_every_field():
    fields = {}
    from mocoop.world.things import find_things

    classes = RULES["albums"].classes
    for label, thing in enumerate(find_things(classes)):
        fields.setdefault(label < base_size(len(classes)), set()).add(thing.field)
    assert fields[True] == fields[False]


def test_handwriting_is_never_shared_between_splits():
    data = load_builtin("digits")
    scans = [item.scan for split in data.splits.values() for item in split]
    assert len(scans) == len(set(scans))


def test_settings_share_things_and_differ_in_pictures():
    hard, easy = load_builtin("albums"), load_builtin("albums-easy")
    first, second = hard.items("val")[0], easy.items("val")[0]
    assert first == second
    assert hard.image(first).tobytes() != easy.image(second).tobytes()
    assert hard.content_key(first) != easy.content_key(second)


def test_unknown_set():
    with pytest.raises(UserError, match=r"Unknown built-in set 'album'.*Did you mean 'albums'"):
        load_builtin("album")


def test_every_set_with_a_rule_is_in_the_menu():
    assert sorted(BUILTIN) == sorted(RULES)
    assert BUILTIN[0] == TrainConfig().data

"""Few-shot selections by CoOp's rules, halves and seeded splits."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mocoop.datasets import load_dataset
from mocoop.datasets.splits import base_size, few_shot, few_shot_items, random_split
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.protocols.plans import Plan, tasks
from mocoop.training.prepare import prepare
from tests.support import reference
from tests.support.image_files import add_files

# CoOp's own split files, where this machine has them.
DATA = Path(os.environ.get("MOCOOP_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def labelled(counts, seed=0):
    """Returns labels of the given counts in a seeded, mixed order."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    random.Random(seed).shuffle(labels)
    return labels


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("order", [0, 5])
def test_few_shot_equals_coop(seed, shots, order):
    """Selections equal CoOp's own way, whatever the order of the labels, few items included."""
    train = labelled({4: 30, 0: 20, 2: 3, 9: 1, 5: 16}, order)
    val = labelled({0: 12, 9: 2, 4: 7, 5: 4, 2: 5}, order + 1)
    expected = reference.few_shot(
        [(label, i) for i, label in enumerate(train)],
        [(label, i) for i, label in enumerate(val)],
        shots,
        seed,
    )
    got_train, got_val = few_shot(train, val, shots, seed)
    assert [(train[i], i) for i in got_train] == expected[0]
    assert [(val[i], i) for i in got_val] == expected[1]


def coop_rows(file):
    """Returns split → rows (label, path) of one of CoOp's split files, in its order."""
    known = json.loads(file.read_text())
    return {split: [(label, path) for path, label, _ in known[split]] for split in known}


@pytest.fixture
def split_folder(tmp_path):
    """A folder with a split file of seven classes in mixed order, some with few images."""
    rows = {}
    for split, counts in (
        ("train", {3: 20, 0: 17, 6: 2, 1: 9, 5: 16, 2: 1, 4: 5}),
        ("val", {6: 1, 5: 8, 4: 4, 3: 3, 2: 2, 1: 6, 0: 9}),
        ("test", dict.fromkeys(range(7), 1)),
    ):
        rows[split] = [
            [f"class_{label}/{split}_{number}.png", label, f"class_{label}"]
            for number, label in enumerate(labelled(counts, seed=3))
        ]
    for path, *_ in rows["train"]:
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(file)
    (tmp_path / "split_zhou_Own.json").write_text(json.dumps(rows))
    return tmp_path


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
def test_a_run_draws_coops_images(split_folder, shots, seed):
    """The images of a run are CoOp's, item for item, and its base half is cut afterwards."""
    dataset = load_dataset(str(split_folder))
    rows = coop_rows(split_folder / "split_zhou_Own.json")
    train, val = reference.few_shot(rows["train"], rows["val"], shots, seed)
    for classes, last in (("all", 6), ("base", 3)):
        config = replace(preset("lasp"), shots=shots, seed=seed, classes=classes)
        found, found_val = few_shot_items(config, dataset)
        assert [(item.label, item.id) for item in found] == [r for r in train if r[0] <= last]
        assert [(item.label, item.id) for item in found_val] == [r for r in val if r[0] <= last]


@pytest.mark.parametrize("file", sorted(DATA.glob("*/split_zhou_*.json")), ids=lambda f: f.stem)
def test_few_shot_equals_coop_on_its_own_files(file):
    """Selections from the benchmarks' split files, for all shots and three seeds."""
    rows = coop_rows(file)
    labels = [[label for label, _ in rows[split]] for split in ("train", "val")]
    for seed in (1, 2, 3):
        for shots in (1, 2, 4, 8, 16):
            expected = reference.few_shot(rows["train"], rows["val"], shots, seed)
            for split, chosen, wanted in zip(
                ("train", "val"), few_shot(*labels, shots, seed), expected, strict=True
            ):
                assert [rows[split][index] for index in chosen] == wanted


def test_few_shot_counts():
    """Each class gives `shots` images or all it has, and at most four for validation."""
    train, val = few_shot([0] * 20 + [1] * 3, [0] * 9 + [1] * 2, 16, seed=1)
    assert [sum(i < 20 for i in train), sum(i >= 20 for i in train)] == [16, 3]
    assert [sum(i < 9 for i in val), sum(i >= 9 for i in val)] == [4, 2]
    assert len(set(train)) == len(train)
    assert len(few_shot([0] * 5, [0] * 5, 2, seed=1)[1]) == 2


def test_few_shot_leaves_the_global_generator_alone():
    """Selections depend on their seed alone, and draw from nobody else's generator."""
    labels = labelled({0: 20, 1: 20})
    random.seed(5)
    state = random.getstate()
    one = few_shot(labels, labels, 4, seed=1)
    assert random.getstate() == state
    random.seed(6)
    assert few_shot(labels, labels, 4, seed=1) == one
    assert few_shot(labels, labels, 4, seed=2) != one


@pytest.mark.parametrize(("classes", "base"), [(2, 1), (3, 2), (10, 5), (37, 19), (101, 51)])
def test_base_is_the_first_half_rounded_up(classes, base):
    """An odd class in the middle is a base class."""
    assert base_size(classes) == base


@pytest.mark.parametrize("shares", [(0.5, 0.2), (0.8, 0.2)])
def test_random_split_is_disjoint_and_complete(shares):
    """Every image is in exactly one part, and each class keeps its shares."""
    counts = {3: 100, 0: 40, 1: 11, 2: 5, 4: 4, 5: 3, 6: 2, 7: 1}
    labels = labelled(counts)
    parts = random_split(labels, 1, *shares)
    assert sorted(i for part in parts for i in part) == list(range(len(labels)))
    per_class = {
        label: [sum(labels[i] == label for i in part) for part in parts] for label in counts
    }
    for label, count in ((3, 100), (0, 40)):
        train, val = round(shares[0] * count), round(shares[1] * count)
        assert per_class[label][0] == train
        assert per_class[label][1] == min(val, count - train - 1)
        assert per_class[label][2] >= 1
    for label in counts:
        assert per_class[label][0] >= 1


@pytest.mark.parametrize(("count", "parts"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [2, 0, 1]),
                                              (4, [2, 1, 1]), (10, [5, 2, 3])])  # fmt: skip
def test_random_split_of_small_classes(count, parts):
    """A small class trains first, then is tested, then validated."""
    assert [len(part) for part in random_split([0] * count, 1)] == parts


def test_random_split_depends_on_its_seed_alone():
    """The same seed gives the same split, another seed another one."""
    labels = labelled({0: 50, 1: 50})
    assert random_split(labels, 1) == random_split(labels, 1)
    assert random_split(labels, 1) != random_split(labels, 2)


def test_a_style_without_images_of_a_class_is_not_trained(tmp_path):
    files = [f"photo/{s}/{c}/{n}.png" for s in ("train", "test") for c in ("cat", "dog")
             for n in range(3)]  # fmt: skip
    files += [f"sketch/{s}/{c}/{n}.png" for s in ("train", "test") for c in ("cat", "dog", "emu")
              for n in range(3)]  # fmt: skip
    add_files(tmp_path, *files)
    config = replace(preset("coop"), data=str(tmp_path), shots=1, epochs=1)
    assert len(prepare(config).train_items) == 3
    with pytest.raises(UserError, match="no training image of the style 'photo'"):
        prepare(replace(config, style="photo"))
    plan = Plan("domain-generalization", (str(tmp_path),), ("coop",), (1,), style="photo")
    with pytest.raises(UserError, match=r"'emu' of .* has no training image of the style 'photo'"):
        tasks(plan)
    assert tasks(replace(plan, methods=("zero-shot",)))
    assert tasks(replace(plan, style="sketch"))

"""The built-in sets: reproducible, complete, and with nothing shared between splits."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mocoop.datasets import BUILTIN, Item, load_dataset
from mocoop.datasets.base import SPLITS, check_class_names
from mocoop.datasets.drawing import EASY, IMAGE_SIZE, STYLES, Shape, draw
from mocoop.datasets.glyphs import DIGIT_FONTS, DIGITS, FACES, GAMES, PICTOGRAPHS, glyph
from mocoop.errors import UserError

TABLES = {"pictographs": PICTOGRAPHS, "faces": FACES, "games": GAMES, "digits": DIGITS}
UNASSIGNED = "\u0378"  # no character of Unicode, so that every font shows its missing glyph


@pytest.fixture(scope="module", params=BUILTIN)
def dataset(request):
    """Each built-in set in turn."""
    return load_dataset(request.param)


def pixels(image):
    """Returns a hash of an image's mode, size and pixels."""
    head = f"{image.mode} {image.size}".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def test_class_order_is_the_table(dataset):
    """Labels follow the table of names, and every item has one of them."""
    assert dataset.class_names == tuple(TABLES[dataset.name])
    for split in SPLITS:
        labels = {item.label for item in dataset.items(split)}
        assert labels == set(range(len(dataset.class_names)))


def test_every_style_in_every_split(dataset):
    """Each class is seen in each style, in each split."""
    assert set(dataset.styles) == set(STYLES)
    for split in SPLITS:
        seen = {(item.label, item.style) for item in dataset.items(split)}
        assert len(seen) == len(dataset.class_names) * len(STYLES)


def test_styles_are_the_groups(dataset):
    """Each style has its group of templates, so that the router can be compared with them."""
    assert tuple(dataset.templates.groups) == STYLES


def test_splits_share_no_id_and_no_picture(dataset):
    """No item and no pixels of one split come again in another."""
    ids = [item.id for split in SPLITS for item in dataset.items(split)]
    assert len(set(ids)) == len(ids)
    shown = {s: {pixels(dataset.image(i)) for i in dataset.items(s)} for s in SPLITS}
    assert not shown["train"] & shown["val"]
    assert not shown["train"] & shown["test"]
    assert not shown["val"] & shown["test"]


def test_content_keys_tell_pictures_apart(dataset):
    """Two items never share a content key, and the key names its set."""
    keys = [dataset.content_key(item) for split in SPLITS for item in dataset.items(split)]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(dataset.name) for key in keys)


def test_pictures_are_small_rgb_and_not_empty(dataset):
    """Pictures have the declared size, and show something."""
    for item in dataset.items("val")[::7]:
        image = dataset.image(item)
        assert (image.mode, image.size) == ("RGB", (IMAGE_SIZE, IMAGE_SIZE))
        assert np.asarray(image).std() > 1, item.id


def test_pictures_do_not_depend_on_order(dataset):
    """A picture is the same whatever was drawn before it, and whatever the global seed."""
    items = dataset.items("train")[:20]
    forward = [pixels(dataset.image(item)) for item in items]
    np.random.seed(3)  # noqa: NPY002 - the global generator must not matter
    backward = [pixels(load_dataset(dataset.name).image(item)) for item in reversed(items)]
    assert forward == backward[::-1]
    assert len(set(forward)) == len(forward)


SUMMARY = """
import hashlib, json
from mocoop.datasets import BUILTIN, load_dataset
found = {}
for name in BUILTIN:
    data = load_dataset(name)
    digest = hashlib.sha256(repr((data.class_names, data.splits, data.styles)).encode())
    for item in data.items("val")[::11]:
        digest.update(data.image(item).tobytes())
        digest.update(data.content_key(item).encode())
    found[name] = digest.hexdigest()
print(json.dumps(found))
"""


def test_two_processes_agree():
    """Items, order and pixels are the same under different hash seeds."""
    found = []
    for seed in ("0", "4711"):
        result = subprocess.run(
            [sys.executable, "-c", SUMMARY],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(result.stdout))
    assert found[0] == found[1]
    assert set(found[0]) == set(BUILTIN)


def test_there_are_many_pictographs():
    """The largest set is large enough for a base-to-new experiment."""
    assert len(load_dataset("pictographs").class_names) >= 50


@pytest.mark.parametrize("name", TABLES)
def test_glyphs_exist_and_differ(name):
    """The font has every character, and shows each class differently."""
    missing = glyph(UNASSIGNED).masks[0].tobytes()
    assert missing == glyph("\u0379").masks[0].tobytes()
    drawn = {cls: glyph(char).masks[0].tobytes() for cls, char in TABLES[name].items()}
    assert missing not in drawn.values()
    assert len(set(drawn.values())) == len(drawn)
    mirrored = {glyph(char).masks[0].transpose(0).tobytes() for char in TABLES[name].values()}
    assert len(mirrored) == len(drawn)


@pytest.mark.parametrize("font", DIGIT_FONTS)
def test_digit_fonts_have_the_digits(font):
    """Every font of the demo CLIP's digits shows ten different ones."""
    masks = {glyph(char, font).masks[0].tobytes() for char in DIGITS.values()}
    assert len(masks) == 10
    try:
        missing = glyph(UNASSIGNED, font)
    except ValueError:  # the font shows nothing, and glyph() would have refused a digit too
        return
    assert missing.masks[0].tobytes() not in masks


def test_digit_scans_are_used_once():
    """All 1,797 scans are shown, each in one split, with its own label."""
    from sklearn.datasets import load_digits

    data = load_dataset("digits")
    items = [item for split in SPLITS for item in data.items(split)]
    scans = [int(item.id.rsplit("/", 1)[1]) for item in items]
    assert sorted(scans) == list(range(1797))
    targets = load_digits().target
    assert all(targets[scan] == item.label for scan, item in zip(scans, items, strict=True))
    assert [len(data.items(split)) for split in SPLITS] == [898, 359, 540]


def test_items_of_some_labels():
    """Items can be asked for by label, in the split's order."""
    data = load_dataset("games")
    some = data.items("test", [3, 1])
    assert {item.label for item in some} == {1, 3}
    assert some == tuple(item for item in data.items("test") if item.label in (1, 3))


@pytest.mark.parametrize("style", STYLES)
def test_styles_look_different(style):
    """The same shape from the same generator state looks different in every other style."""
    shape = glyph("★")
    own = draw(shape, style, EASY, np.random.default_rng(1))
    assert own.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert own.dtype == np.uint8
    for other in STYLES:
        if other != style:
            picture = draw(shape, other, EASY, np.random.default_rng(1))
            assert np.abs(own.astype(int) - picture).mean() > 2, other


def test_a_shape_needs_a_pixel():
    """An empty mask is no shape."""
    with pytest.raises(ValueError, match="at least one non-zero pixel"):
        Shape.from_mask(glyph("★").masks[0].point(lambda v: 0))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pictograph", r"Unknown data set 'pictograph'.*Did you mean 'pictographs'\? Or give"),
        ("./no/such", r"no such folder. Expected a folder of class folders, or a table"),
    ],
)
def test_unknown_sets(name, message):
    """A name that is no set and no folder is refused with what would be one."""
    with pytest.raises(UserError, match=message):
        load_dataset(name)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat"], "at least two classes, got 1"),
        ([], "at least two classes, got 0"),
        (["cat", "dog", "Cat"], "Two classes have the same name 'cat'"),
        (["old  house", "cat", "old house"], "the same name 'old house'"),
        (["old_house", "cat", "old house"], "the same name 'old house'"),
    ],
)
def test_class_names_are_checked(names, message):
    """Names must be two or more, and tell classes apart."""
    with pytest.raises(UserError, match=message):
        check_class_names(names)


def test_items_compare_by_value():
    """An item is a plain value."""
    assert Item("a", 1) == Item("a", 1, None)
    assert Item("a", 1) != Item("a", 2)

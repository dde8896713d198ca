"""Benchmark sets in miniature: each real layout, with a few tiny images."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from PIL import Image

# CoOp's own split files, where this machine has them.
DATA = Path(os.environ.get("MOCOOP_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")

# Set → folder of its images, and split file.
COOP = {
    "caltech101": ("caltech-101/101_ObjectCategories", "caltech-101/split_zhou_Caltech101.json"),
    "oxford_pets": ("oxford_pets/images", "oxford_pets/split_zhou_OxfordPets.json"),
    "stanford_cars": ("stanford_cars", "stanford_cars/split_zhou_StanfordCars.json"),
    "oxford_flowers": ("oxford_flowers/jpg", "oxford_flowers/split_zhou_OxfordFlowers.json"),
    "food101": ("food-101/images", "food-101/split_zhou_Food101.json"),
    "sun397": ("sun397/SUN397", "sun397/split_zhou_SUN397.json"),
    "dtd": ("dtd/images", "dtd/split_zhou_DescribableTextures.json"),
    "eurosat": ("eurosat/2750", "eurosat/split_zhou_EuroSAT.json"),
    "ucf101": ("ucf101/UCF-101-midframes", "ucf101/split_zhou_UCF101.json"),
}
FLAT = ("oxford_pets", "stanford_cars", "oxford_flowers")
NUM_GROUPS = {"oxford_pets": 6, "eurosat": 6, "ucf101": 6, "food101": 4, "sun397": 4}
SHIFTED = {
    "imagenetv2": "imagenetv2/imagenetv2-matched-frequency-format-val",
    "imagenet_sketch": "imagenet-sketch/images",
    "imagenet_a": "imagenet-adversarial/imagenet-a",
    "imagenet_r": "imagenet-rendition/imagenet-r",
}
WNIDS = ("n01440764", "n03773504", "n04008634")
CLASSNAMES = "n01440764 tench\nn03773504 missile\nn04008634 missile\n"


def picture(suffix):
    """Returns the bytes of a tiny image."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (90, 40, 10)).save(buffer, "PNG" if suffix == ".png" else "JPEG")
    return buffer.getvalue()


def add(root, *paths):
    """Writes a tiny image at each path."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(file.suffix))


def add_text(root, path, text):
    """Writes a list."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def coop_rows(name):
    """Returns the rows of a small split file with paths as the set has them."""
    if name == "stanford_cars":
        paths = {"train": "cars_train/{0}{1}.jpg", "val": "cars_train/{0}{1}.jpg"}
        form = lambda split: paths.get(split, "cars_test/{0}{1}.jpg")
    else:
        form = lambda split: "{2}_{0}{1}.jpg" if name in FLAT else "{2}/{0}{1}.jpg"
    classes = ((1, "sea_lion"), (0, "cat"))  # the file need not begin with label 0
    return {
        split: [
            [form(split).format(label, code, class_name), label, class_name]
            for label, class_name in classes
            for code in codes
        ]
        for split, codes in (("train", "ab"), ("val", "c"), ("test", "def"))
    }


def add_coop(root, name, with_split=True):
    """Makes a set with one of CoOp's split files; returns the file's rows."""
    images, split = COOP[name]
    rows = coop_rows(name)
    add(root / images, *(path for part in rows.values() for path, *_ in part))
    if with_split:
        add_text(root, split, json.dumps(rows))
    return rows


def add_aircraft(root):
    """Makes a small FGVC Aircraft."""
    folder = root / "fgvc_aircraft"
    add(folder / "images", *(f"{n:07}.jpg" for n in range(1, 6)))
    add_text(folder, "variants.txt", "Boeing 707-320\nF/A-18\n")
    add_text(folder, "images_variant_train.txt", "0000002 F/A-18\n0000001 Boeing 707-320\n")
    add_text(folder, "images_variant_val.txt", "0000003 Boeing 707-320\n")
    add_text(folder, "images_variant_test.txt", "0000004 F/A-18\n0000005 Boeing 707-320\n")
    return folder


def add_imagenet(root):
    """Makes a small ImageNet with two classes of the same official name."""
    add_text(root, "imagenet/classnames.txt", CLASSNAMES)
    for wnid in WNIDS:
        add(root / "imagenet/images/train" / wnid, "b.JPEG", "a.JPEG")
        add(root / "imagenet/images/val" / wnid, "ILSVRC2012_val_00000001.JPEG")


def add_shifted(root, name, wnids=WNIDS):
    """Makes a small shifted ImageNet and the list of ImageNet's classes."""
    add_text(root, "imagenet/classnames.txt", CLASSNAMES)
    folders = map(str, range(len(wnids))) if name == "imagenetv2" else wnids
    add(root / SHIFTED[name], *(f"{folder}/x.jpg" for folder in folders))

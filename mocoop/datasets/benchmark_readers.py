"""Readers of the benchmark sets: they turn folders and lists into class names and items."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mocoop.datasets.base import SPLITS, Contents, Item, check_class_names
from mocoop.datasets.class_folders import only_images
from mocoop.datasets.coop_split import read_split
from mocoop.datasets.splits import RULE, split_by_rule
from mocoop.errors import UserError

Splits = dict[str, tuple[Item, ...]]
_TEST_NOTE = "all images are test images, for prompts that were trained on ImageNet"


@dataclass(frozen=True)
class Counts:
    """The published numbers of classes and images of a set (CoOp's table of data sets)."""

    classes: int = 0
    train: int = 0
    val: int = 0
    test: int = 0


@dataclass(frozen=True)
class Benchmark:
    """Where a set is below the data root, and how it is read."""

    images: str
    """Folder that the items' paths are relative to."""
    read: Reader
    """Function that returns the contents, given this record and the data root."""
    layout: str
    """What the set's folder must contain, in words."""
    split: str = ""
    """CoOp's split file."""
    class_folders: bool = True
    """Whether there is one folder of images per class, so that a split can be made."""
    ignored: tuple[str, ...] = ()
    """Class folders that CoOp leaves out."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Class folder → the name that CoOp gives the class."""
    templates: str = ""
    """Key of the template set; the name of the data set if empty."""
    published: Counts = field(default_factory=Counts)
    """Size of the published split."""

    @property
    def folder(self) -> str:
        """The set's folder: the first part of its paths."""
        return self.images.split("/")[0]


Reader = Callable[[Benchmark, Path], Contents]


def read_coop(benchmark: Benchmark, root: Path) -> Contents:
    """Returns the contents with CoOp's split; without its file, with a seeded split."""
    file, images = root / benchmark.split, root / benchmark.images
    if file.is_file():
        contents = read_split(file)
        check_class_names(contents.class_names)
        return contents
    if not benchmark.class_folders:
        raise UserError(
            f"{file}: no such file. The images of this set are not in class folders, so no "
            f"split can be made from them. Put CoOp's {file.name} there."
        )
    by_class = _images_by_class(images, benchmark)
    check_class_names(tuple(by_class))
    names = tuple(by_class)
    note = f"no {file.name}: a split made by MoCoOp, {RULE}; not the published one"
    return Contents(names, names, split_by_rule(images, by_class), note)


def _images_by_class(images: Path, benchmark: Benchmark) -> dict[str, list[Path]]:
    """Returns class name → image files, for every folder that directly contains images."""
    by_class: dict[str, list[Path]] = {}
    for path, folders, files in os.walk(images):
        folders[:] = sorted({f for f in folders if f[0] != "."} - set(benchmark.ignored))
        folder = Path(path)
        names = only_images(files)
        if folder == images or (folders and not names):
            continue
        if not names:
            raise UserError(f"Class folder {folder} has no image. Extract the archive again.")
        # SUN397 has a/apartment_building/outdoor for CoOp's "outdoor apartment building".
        parts = folder.relative_to(images).parts
        words = " ".join(reversed(parts[1:])) or parts[0]
        name = benchmark.renamed.get(words, words.replace("_", " "))
        if name in by_class:
            raise UserError(f"{images} has two folders of the class {name!r}. Keep one of them.")
        by_class[name] = [folder / file for file in names]
    if not by_class:
        raise UserError(
            f"{images} has no class folder. Expected {benchmark.layout}: extract the archive "
            "again."
        )
    return by_class


def read_aircraft(benchmark: Benchmark, root: Path) -> Contents:
    """Returns the contents of FGVC-Aircraft, from its lists of variants.

    The classes have the order of variants.txt.
    """
    folder = root / benchmark.folder
    labels: dict[str, int] = {}
    for number, line in _lines(folder / "variants.txt"):
        if line in labels:
            raise _bad_line(folder / "variants.txt", number, "a variant not listed before", line)
        labels[line] = len(labels)
    splits: Splits = {}
    for split in SPLITS:
        file, items = folder / f"images_variant_{split}.txt", []
        for number, line in _lines(file):
            image, _, variant = line.partition(" ")
            if not image.isdigit() or variant not in labels:
                wanted = "an image's number and a variant of variants.txt"
                raise _bad_line(file, number, wanted, line)
            items.append(Item(f"{image}.jpg", labels[variant]))
        splits[split] = tuple(items)
    names = tuple(labels)
    check_class_names(names)
    return Contents(names, names, splits, "the official split by variant")


def read_imagenet(benchmark: Benchmark, root: Path) -> Contents:
    """Returns ImageNet's contents. As in CoOp, its validation images are also the test images."""
    names = _imagenet_names(benchmark, root)
    train, test = (
        _by_folder(root / benchmark.images, [f"{part}/{wnid}" for wnid in names])
        for part in ("train", "val")
    )
    note = "the official split; its validation images are validation and test images, as in CoOp"
    splits = {"train": train, "val": test, "test": test}
    return Contents(tuple(names), tuple(names.values()), splits, note)


def read_numbered(benchmark: Benchmark, root: Path) -> Contents:
    """Returns the contents of ImageNetV2, whose folders are the labels 0 to 999."""
    names = _imagenet_names(benchmark, root)
    test = _by_folder(root / benchmark.images, [str(label) for label in range(len(names))])
    return Contents(tuple(names), tuple(names.values()), _test_only(test), _TEST_NOTE)


def read_shifted(benchmark: Benchmark, root: Path) -> Contents:
    """Returns the contents of a set with one folder per WordNet id, for all or some classes."""
    known, images = _imagenet_names(benchmark, root), root / benchmark.images
    folders = {p.name for p in images.iterdir() if p.is_dir() and not p.name.startswith(".")}
    unknown = sorted(folders - set(known))
    if unknown:
        raise UserError(
            f"{images} has a folder {unknown[0]}, which is not in classnames.txt. Expected "
            "ImageNet's ids, such as n01440764: remove the folder, or get the list again."
        )
    num_classes = min(benchmark.published.classes or len(known), len(known))
    if len(folders) != num_classes:
        raise UserError(
            f"{images} has {len(folders)} class folders; expected {num_classes}. Extract the "
            "archive again."
        )
    names = {wnid: name for wnid, name in known.items() if wnid in folders}
    test = _by_folder(images, list(names))
    return Contents(tuple(names), tuple(names.values()), _test_only(test), _TEST_NOTE)


def _test_only(items: tuple[Item, ...]) -> Splits:
    return {"train": (), "val": (), "test": items}


def _imagenet_names(benchmark: Benchmark, root: Path) -> dict[str, str]:
    """Returns WordNet id → class name, in the order of classnames.txt."""
    own, usual = (root / folder / "classnames.txt" for folder in (benchmark.folder, "imagenet"))
    file = own if own.is_file() else usual
    names: dict[str, str] = {}
    for number, line in _lines(file):
        wnid, _, name = line.partition(" ")
        if not re.fullmatch(r"n\d{8}", wnid) or not name.strip() or wnid in names:
            raise _bad_line(file, number, "a new id and its name, as in 'n01440764 tench'", line)
        names[wnid] = name.strip().replace("_", " ")
    return names


def _by_folder(images: Path, folders: Sequence[str]) -> tuple[Item, ...]:
    """Returns the items of class folders; the label is the folder's index."""
    # Images are recognised by their names: opening all would be slow for ImageNet's million.
    names = [
        only_images(os.listdir(images / folder)) if (images / folder).is_dir() else []
        for folder in folders
    ]
    missing = [folder for folder, found in zip(folders, names, strict=True) if not found]
    if missing:
        raise UserError(
            f"{images} is incomplete: {missing[0]} has no images. {len(missing)} of "
            f"{len(folders)} class folders are missing or empty. Extract the archive again."
        )
    return tuple(
        Item(f"{folder}/{name}", label)
        for label, (folder, found) in enumerate(zip(folders, names, strict=True))
        for name in found
    )


def _lines(file: Path) -> list[tuple[int, str]]:
    """Returns (line number, line) for the lines of a file that are not empty."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise UserError(
            f"{file}: no such file. It is part of the data set: put it there."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error}). Get the file again.") from error
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _bad_line(file: Path, number: int, wanted: str, line: str) -> UserError:
    return UserError(f"{file}, line {number}: expected {wanted}; got {line!r}. Fix the line.")

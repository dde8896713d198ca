"""Any folder of images: `class_name/*.jpg`, or `train/`, `val/`, `test/` of such."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mocoop.datasets.base import SPLITS, Dataset, Item, check_class_names
from mocoop.errors import UserError
from mocoop.images import SUFFIXES, open_image
from mocoop.splits import random_split
from mocoop.templates import load_templates

SPLIT_SEED = 1  # of the split that a folder without its own gets


@dataclass(frozen=True)
class FolderDataset(Dataset):
    """Images in class folders."""

    root: Path = Path()

    def image(self, item: Item) -> Image.Image:
        """Returns the file's picture in RGB."""
        return open_image(self.root / item.id)[0]

    def content_key(self, item: Item) -> str:
        """Returns the hash of the file's bytes."""
        with (self.root / item.id).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def load_folder(root: Path) -> FolderDataset:
    """Returns the data set in a folder; classes are sorted by folder name.

    With `train/` and `test/` (and perhaps `val/`) those splits are used; where `val/` is
    missing a seeded fifth of `train/` takes its place. Without them a seeded split by class
    is made: 50 % train, 20 % validation, 30 % test.

    Raises:
        UserError: for a missing or empty folder, an empty class, names that clash, or splits
            with different classes.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder. Expected a folder of class folders.")
    parts = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if not parts:
        by_class = _class_files(root)
        splits = split_by_rule(root, by_class)
        folders = list(by_class)
    else:
        missing = [split for split in ("train", "test") if split not in parts]
        if missing:
            raise UserError(
                f"{root} has {', '.join(f'{p}/' for p in parts)} but no {missing[0]}/. Add it, or "
                "put the class folders directly into the folder to have them split for you."
            )
        listed = {split: _class_files(path) for split, path in parts.items()}
        folders = list(listed["train"])
        for split, by_class in listed.items():
            if list(by_class) != folders:
                odd = sorted(set(by_class) ^ set(folders))[0]
                raise UserError(
                    f"{root}: {split}/ and train/ must have the same class folders; {odd!r} is "
                    "only in one of them. Add or remove it."
                )
        splits = {split: _items(root, by_class) for split, by_class in listed.items()}
        if "val" not in splits:
            splits = _with_val(splits)
    names = tuple(folder.replace("_", " ").strip() for folder in folders)
    check_class_names(names)
    return FolderDataset(root.name, names, splits, load_templates("photos"), root=root)


def _class_files(folder: Path) -> dict[str, list[Path]]:
    """Returns class folder name → its image files, both sorted."""
    found: dict[str, list[Path]] = {}
    for child in sorted(folder.iterdir()):
        if child.name.startswith(".") or not child.is_dir():
            continue
        files = sorted(p for p in child.rglob("*") if _is_image(p, child))
        if not files:
            raise UserError(
                f"Class folder {child} holds no image. Expected files such as .jpg or .png: add "
                "some or remove the folder."
            )
        found[child.name] = files
    if not found:
        raise UserError(
            f"{folder} holds no class folder. Expected one folder per class, each with images: "
            "class_name/*.jpg."
        )
    return found


def _is_image(path: Path, folder: Path) -> bool:
    """Returns whether a path is an image file that is not hidden anywhere below `folder`."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in SUFFIXES and path.is_file()


def _items(root: Path, by_class: dict[str, list[Path]]) -> tuple[Item, ...]:
    return tuple(
        Item(path.relative_to(root).as_posix(), label)
        for label, files in enumerate(by_class.values())
        for path in files
    )


def split_by_rule(root: Path, by_class: dict[str, list[Path]]) -> dict[str, tuple[Item, ...]]:
    """Returns a seeded split by class: 50 % train, 20 % validation, 30 % test."""
    items = _items(root, by_class)
    indices = random_split([item.label for item in items], SPLIT_SEED)
    return {
        split: tuple(items[i] for i in part) for split, part in zip(SPLITS, indices, strict=True)
    }


def _with_val(splits: dict[str, tuple[Item, ...]]) -> dict[str, tuple[Item, ...]]:
    train = splits["train"]
    labels = [item.label for item in train]
    kept, val, rest = random_split(labels, SPLIT_SEED, train=0.8, val=0.2)
    return {
        "train": tuple(train[i] for i in kept),
        "val": tuple(train[i] for i in val + rest),
        "test": splits["test"],
    }

"""Names of the folders for training, validation and testing, as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mocoop.datasets.names import nfc
from mocoop.datasets.tree import Folder
from mocoop.errors import PathError

SPLIT_WORDS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn", "trainset"),
    "val": ("val", "valid", "validation", "validate", "dev", "devel", "development", "valset"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "testset"),
}
_SPLIT_OF = {word: split for split, words in SPLIT_WORDS.items() for word in words}
# Folders of these names hold the pictures of what is around them, and are no class.
HOLDERS = ("images", "image", "img", "imgs", "pictures", "photos", "data", "jpg", "jpegimages")


def split_of(word: str) -> str | None:
    """Returns the split that a word means, in upper or lower case; None if it means none."""
    return _SPLIT_OF.get(nfc(word).casefold().strip())


def with_rest(name: str) -> tuple[str | None, str]:
    """Returns the split that a name means, and the rest of the name.

    >>> with_rest("TRAIN"), with_rest("seg_test"), with_rest("train2017"), with_rest("cat")
    (('train', ''), ('test', 'seg'), ('train', '2017'), (None, 'cat'))
    """
    parts = re.findall(r"[^\W\d_]+|\d+", nfc(name).casefold())
    splits = [part for part in parts if part in _SPLIT_OF]
    if len(splits) != 1:
        return None, " ".join(parts)
    noise = {splits[0], "set", "folder", *HOLDERS}
    return _SPLIT_OF[splits[0]], " ".join(part for part in parts if part not in noise)


def split_folders(folder: Folder) -> dict[str, Folder]:
    """Returns split → its folder; empty if the subfolders are no parts of a split.

    A part has pictures in folders and none directly. `train` and `test` alone are parts whatever
    else is there; longer names (`seg_train`, `seg_test`) must agree in all other words.

    Raises:
        PathError: for two folders that mean the same split.
    """
    rests: dict[str, dict[str, Folder]] = {}
    for child in folder.folders:
        split, rest = with_rest(child.name)
        if split is None or child.pictures or not any(c.images() for c in child.folders):
            continue
        parts = rests.setdefault(rest, {})
        if split in parts and not rest:
            raise PathError(
                folder.path,
                f" has {parts[split].name}/ and {child.name}/, which mean the same. Keep one.",
            )
        parts.setdefault(split, child)
    if "" in rests:
        return _in_order(rests[""])
    full = [parts for parts in rests.values() if "train" in parts and len(parts) > 1]
    return _in_order(full[0]) if len(full) == 1 else {}


def loose_splits(folders: Iterable[Folder]) -> list[Folder]:
    """Returns the folders that are named like parts of a split; one of each split."""
    named = {split: folder for folder in folders for split in [split_of(folder.name)] if split}
    return [named[split] for split in SPLIT_WORDS if split in named]


def _in_order(parts: dict[str, Folder]) -> dict[str, Folder]:
    return {split: parts[split] for split in SPLIT_WORDS if split in parts}

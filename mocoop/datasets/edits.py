"""Changes that users make to a data set without changing its images: two files beside them.

`mocoop.yaml` renames classes and can set templates for this data set. The skip list names images
to skip (see `skip_list`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mocoop.datasets.base import Item
from mocoop.datasets.names import nfc
from mocoop.datasets.skip_list import OLD_SKIP_FILE, SKIP_FILE, read_skipped, write_beside
from mocoop.errors import PathError, UserError, did_you_mean
from mocoop.storage.yaml_text import with_values
from mocoop.templates import Groups, TemplateSet, as_groups
from mocoop.user_yaml import read_yaml

EDITS_FILE = "mocoop.yaml"
BACKUP_FILE = "mocoop.yaml.bak"
OWN_FILES = (EDITS_FILE, BACKUP_FILE, SKIP_FILE, OLD_SKIP_FILE)
_KEYS = ("classes", "zero_shot", "groups", "white")


@dataclass(frozen=True)
class Edits:
    """The changes in a data set's folder; without these files there are none."""

    classes: Mapping[str, str] = field(default_factory=dict)
    """Folder name or label → the class name to use."""
    zero_shot: str | None = None
    """The template for zero-shot classification."""
    groups: Groups | None = None
    """The groups of templates."""
    skipped: frozenset[str] = frozenset()
    """Paths of images to skip, in Unicode NFC."""
    white: float | None = None
    """The value that is white in images of more than 8 bits; None to find it out."""

    def templates(self, defaults: TemplateSet) -> TemplateSet:
        """Returns the templates that the files set, and the defaults for those they do not set."""
        groups = defaults.groups if self.groups is None else self.groups
        return TemplateSet(groups, self.zero_shot or defaults.zero_shot)

    def rename(self, labels: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
        """Returns the class names in label order, after renaming.

        Args:
            labels: the folder name or label of every class.
            names: the class names before renaming.

        Raises:
            UserError: if the file renames a class that the set does not have.
        """
        known = set(map(nfc, labels))
        unknown = [label for label in self.classes if nfc(label) not in known]
        if unknown:
            raise UserError(
                f"{EDITS_FILE} renames {unknown[0]!r}, but no class folder or label has this name."
                f"{did_you_mean(unknown[0], labels)}"
            )
        new = {nfc(label): name for label, name in self.classes.items()}
        return tuple(new.get(nfc(label), name) for label, name in zip(labels, names, strict=True))

    def without_skipped(
        self, splits: Mapping[str, tuple[Item, ...]], names: Sequence[str]
    ) -> tuple[dict[str, tuple[Item, ...]], int]:
        """Returns the splits without the skipped images, and how many images are skipped.

        Raises:
            UserError: if a class has no image left, or others have training images left and it
                has none.
        """
        if not self.skipped:
            return dict(splits), 0
        kept = {
            split: tuple(item for item in items if nfc(item.id) not in self.skipped)
            for split, items in splits.items()
        }
        _check_left(splits, kept, names)
        count = len(
            {i.id for items in splits.values() for i in items if nfc(i.id) in self.skipped}
        )
        return kept, count


def _check_left(
    before: Mapping[str, tuple[Item, ...]],
    after: Mapping[str, tuple[Item, ...]],
    names: Sequence[str],
) -> None:
    """Raises UserError if a class lost all images, or all for training while others have some."""
    advice = "Add readable images of this class, or remove the class."
    for label in sorted(_labels(before, before) - _labels(after, after)):
        raise UserError(f"{SKIP_FILE} skips every image of {names[label]!r}. {advice}")
    trained = _labels(after, ["train"])
    for label in sorted(_labels(before, ["train"]) - trained) if trained else []:
        raise UserError(
            f"{SKIP_FILE} skips every training image of {names[label]!r}. {advice} Where MoCoOp "
            "makes the split, it is made anew once the skipped files are deleted."
        )


def _labels(splits: Mapping[str, tuple[Item, ...]], parts: Iterable[str]) -> set[int]:
    """Returns the labels of the items in some parts."""
    return {item.label for part in parts for item in splits[part]}


def read_edits(folder: Path, inside: Path | None = None) -> Edits:
    """Returns the changes that the files in a data set's folder make.

    Args:
        folder: the folder.
        inside: a second one, whose `mocoop.yaml` counts if the first has none, and whose list of
            images to skip counts too: that of an archive which was packed with such files.

    Raises:
        UserError: for a file that cannot be read, an unknown key or an invalid value.
    """
    other = inside or folder
    file = (folder if (folder / EDITS_FILE).is_file() else other) / EDITS_FILE
    edits = _as_edits(_yaml_values(file), _classes_in(file), file)
    return replace(edits, skipped=read_skipped(folder) | read_skipped(other))


def _as_edits(values: Mapping[str, Any], classes: object, file: Path) -> Edits:
    """Returns the changes that the values of `mocoop.yaml` make."""
    if not isinstance(classes, dict) or not all(_is_name(v) for v in classes.values()):
        raise PathError(
            file,
            ": expected classes as lines 'folder: class name', such as 'n01440764: tench'.",
        )
    zero_shot = values.get("zero_shot")
    if zero_shot is not None and not isinstance(zero_shot, str):
        raise PathError(
            file,
            ": expected zero_shot to be one template, such as 'a photo of a {}.'; "
            f"got {zero_shot!r}.",
        )
    white = values.get("white")
    is_number = isinstance(white, (int, float)) and not isinstance(white, bool)
    if white is not None and not (is_number and 0 < white < math.inf):
        raise PathError(
            file,
            ": expected white to be the value that is white in images of more than 8 bits, such "
            f"as 4095; got {white!r}.",
        )
    groups = values.get("groups")
    try:
        edits = Edits(
            {label: name.strip() for label, name in classes.items()},
            zero_shot,
            None if groups is None else as_groups(groups),
            white=None if white is None else float(white),
        )
        if zero_shot is not None:
            edits.templates(TemplateSet({"photo": (zero_shot,)}, zero_shot))
    except UserError as error:
        raise PathError(file, f": {error}") from error
    return edits


def write_edits(folder: Path, edits: Edits) -> Path:
    """Writes class names and templates to `mocoop.yaml` and returns the file's path.

    Entries that do not change keep their text and comments. Keys without a value are removed. If
    the new file loses something of the old one, the old one is saved as mocoop.yaml.bak.

    Raises:
        UserError: if the folder is not writable, or the old file cannot be read.
    """
    values: dict[str, Any] = {}
    if edits.classes:
        values["classes"] = dict(edits.classes)
    if edits.zero_shot is not None:
        values["zero_shot"] = edits.zero_shot
    if edits.groups is not None:
        values["groups"] = {name: list(templates) for name, templates in edits.groups.items()}
    if edits.white is not None:
        values["white"] = edits.white
    file = folder / EDITS_FILE
    old_values = _yaml_values(file)
    old = _as_edits(old_values, _classes_in(file), file)
    for key in old_values:
        if getattr(old, key) == getattr(edits, key):
            values[key] = old_values[key]  # as in the file: its `1: one` renames the class "1"
    before = file.read_text(encoding="utf-8-sig") if file.is_file() else ""
    text, lost = with_values(before, values)
    if lost:
        write_beside(folder / BACKUP_FILE, before)
    return write_beside(file, text)


def _classes_in(file: Path) -> object:
    """Returns the classes in `mocoop.yaml` as they are written: folders are called `no` or `007`.

    Of a file that `_yaml_values` has taken.
    """
    values = _read(file, as_texts=True)
    return (values.get("classes") if isinstance(values, dict) else None) or {}


def _read(file: Path, as_texts: bool = False) -> object:
    """Returns the value of a YAML file; an empty dict without the file."""
    try:
        return (read_yaml(file.read_bytes(), as_texts) if file.is_file() else {}) or {}
    except (OSError, UserError) as error:
        raise PathError(file, f" cannot be read: {error}. Fix or remove it.") from error


def _yaml_values(file: Path) -> dict[str, Any]:
    """Returns the values in `mocoop.yaml`, their keys checked; an empty dict without the file."""
    values = _read(file)
    if not isinstance(values, dict):
        got = repr(values)[:80]
        raise PathError(
            file, f": expected lines such as 'zero_shot: a photo of a {{}}.', got {got}."
        )
    unknown = [str(key) for key in values if key not in _KEYS]
    if unknown:
        raise PathError(
            file,
            f" has the unknown key {unknown[0]!r}: expected {', '.join(_KEYS)}."
            f"{did_you_mean(unknown[0], _KEYS)}",
        )
    return values


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())

"""What people change about a data set without touching its images: two small files beside it.

`mocoop.yaml` renames classes and brings the set's own templates; `mocoop-skip.txt` lists
images that are left out, one path a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mocoop.datasets.base import Item
from mocoop.errors import PathError, UserError, did_you_mean
from mocoop.storage.atomic import write_text
from mocoop.storage.yaml_text import with_values
from mocoop.templates import Groups, TemplateSet, as_groups

EDITS_FILE = "mocoop.yaml"
BACKUP_FILE = "mocoop.yaml.bak"
SKIP_FILE = "mocoop-skip.txt"
_KEYS = ("classes", "zero_shot", "groups")
_SKIP_HEAD = (
    "# Images that MoCoOp leaves out, one path a line; what follows a tab is the reason.\n"
)


@dataclass(frozen=True)
class Edits:
    """The changes of a data set's folder; without files there are none."""

    classes: Mapping[str, str] = field(default_factory=dict)
    """Folder name or label to the class name that takes its place."""
    zero_shot: str | None = None
    """The plain template of the set."""
    groups: Groups | None = None
    """The set's groups of templates."""
    skipped: frozenset[str] = frozenset()
    """Paths of images that are left out."""

    def templates(self, usual: TemplateSet) -> TemplateSet:
        """Returns the set's templates: its own where it has some, else the usual ones."""
        groups = usual.groups if self.groups is None else self.groups
        return TemplateSet(groups, self.zero_shot or usual.zero_shot)

    def rename(self, labels: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
        """Returns class names in label order, some of them replaced.

        Args:
            labels: the folder name or label of every class.
            names: the class names that they have without changes.

        Raises:
            UserError: for a renamed class that the set does not have.
        """
        known = dict(zip(labels, range(len(labels)), strict=True))
        strange = [label for label in self.classes if label not in known]
        if strange:
            raise UserError(
                f"{EDITS_FILE} renames {strange[0]!r}, but no class folder or label is called so."
                f"{did_you_mean(strange[0], labels)}"
            )
        return tuple(
            self.classes.get(label, name) for label, name in zip(labels, names, strict=True)
        )

    def without_skipped(
        self, splits: Mapping[str, tuple[Item, ...]], names: Sequence[str]
    ) -> tuple[dict[str, tuple[Item, ...]], int]:
        """Returns the splits without the images that are left out, and how many those are.

        Raises:
            UserError: if a class loses its last image.
        """
        if not self.skipped:
            return dict(splits), 0
        kept = {
            split: tuple(item for item in items if item.id not in self.skipped)
            for split, items in splits.items()
        }
        before, after = (
            {item.label for items in parts.values() for item in items} for parts in (splits, kept)
        )
        for label in sorted(before - after):
            raise UserError(
                f"{SKIP_FILE} leaves out every image of {names[label]!r}. Add readable images of "
                "it, or remove the class."
            )
        count = len({i.id for items in splits.values() for i in items if i.id in self.skipped})
        return kept, count


def read_edits(folder: Path) -> Edits:
    """Returns the changes that lie in a data set's folder.

    Raises:
        UserError: for a file that cannot be read, an unknown key or a value that does not fit.
    """
    edits = _as_edits(_yaml_values(folder / EDITS_FILE), folder / EDITS_FILE)
    return replace(edits, skipped=_read_skipped(folder / SKIP_FILE))


def _as_edits(values: Mapping[str, Any], file: Path) -> Edits:
    """Returns what a file's values say, without the images that are left out."""
    classes = values.get("classes") or {}
    if not isinstance(classes, dict) or not all(_is_name(v) for v in classes.values()):
        raise PathError(
            file,
            ": classes are expected as lines 'folder: class name', such as 'n01440764: tench'.",
        )
    zero_shot = values.get("zero_shot")
    if zero_shot is not None and not isinstance(zero_shot, str):
        raise PathError(
            file,
            ": zero_shot is expected to be one template, such as 'a photo of a {}.'; "
            f"got {zero_shot!r}.",
        )
    groups = values.get("groups")
    try:
        edits = Edits(
            {str(label): str(name).strip() for label, name in classes.items()},
            zero_shot,
            None if groups is None else as_groups(groups),
        )
        if zero_shot is not None:
            edits.templates(TemplateSet({"photo": (zero_shot,)}, zero_shot))
    except UserError as error:
        raise PathError(file, f": {error}") from error
    return edits


def write_edits(folder: Path, edits: Edits) -> Path:
    """Writes the names and templates of a data set's folder and returns the file's path.

    What does not change keeps its text, comments included; keys without a value go. Where
    something that was written before goes, the old file is kept as mocoop.yaml.bak.

    Raises:
        UserError: if the folder cannot be written to, or the old file cannot be read.
    """
    values: dict[str, Any] = {}
    if edits.classes:
        values["classes"] = dict(edits.classes)
    if edits.zero_shot is not None:
        values["zero_shot"] = edits.zero_shot
    if edits.groups is not None:
        values["groups"] = {name: list(templates) for name, templates in edits.groups.items()}
    file = folder / EDITS_FILE
    written = _yaml_values(file)
    old = _as_edits(written, file)
    for key in written:
        if getattr(old, key) == getattr(edits, key):
            values[key] = written[key]  # as it stands there: `1: one` names the class "1"
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    text, lost = with_values(before, values)
    if lost:
        _write(folder / BACKUP_FILE, before)
    return _write(file, text)


def add_skipped(folder: Path, reasons: Mapping[str, str]) -> Path:
    """Adds images to those that are left out and returns the list's path.

    Args:
        folder: of the data set.
        reasons: path of an image, as in the set's items, to why it is left out.

    Raises:
        UserError: if the folder cannot be written to.
    """
    file = folder / SKIP_FILE
    known = _read_skipped(file)
    before = file.read_text(encoding="utf-8") if file.is_file() else _SKIP_HEAD
    lines = [
        f"{path}\t{' '.join(reason.split())}"
        for path, reason in reasons.items()
        if path not in known
    ]
    return _write(file, before.rstrip("\n") + "\n" + "".join(f"{line}\n" for line in lines))


def _yaml_values(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise PathError(file, f" cannot be read: {reason}. Mend or remove it.") from error
    if not isinstance(values, dict):
        raise PathError(
            file, f": expected lines such as 'zero_shot: a photo of a {{}}.', got {values!r}."
        )
    strange = [str(key) for key in values if key not in _KEYS]
    if strange:
        raise PathError(
            file,
            f" has the unknown key {strange[0]!r}: expected {', '.join(_KEYS)}."
            f"{did_you_mean(strange[0], _KEYS)}",
        )
    return values


def _is_name(value: object) -> bool:
    return isinstance(value, (str, int)) and bool(str(value).strip())


def _read_skipped(file: Path) -> frozenset[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as error:
        raise PathError(file, f" cannot be read ({error}). Mend or remove it.") from error
    paths = (line.partition("\t")[0].strip() for line in lines if not line.startswith("#"))
    return frozenset(path for path in paths if path)


def _write(file: Path, text: str) -> Path:
    try:
        write_text(file, text)
    except OSError as error:
        raise PathError(
            file,
            f" cannot be written ({error.strerror}). Make its folder writable, or copy the "
            "data set to one that is.",
        ) from error
    return file

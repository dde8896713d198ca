"""Recognises how a folder of images is laid out, and reads its classes and splits.

The layouts are tried in this order: parts of a split, parts inside every class, domains, class
folders. The first that fits is read, and its description is shown before anything trains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mocoop.datasets.base import Contents, Item
from mocoop.datasets.class_folders import class_files, tidy
from mocoop.datasets.names import in_order, name_key
from mocoop.datasets.split_folders import HOLDERS, loose_splits, split_folders, split_of, with_rest
from mocoop.datasets.splits import RULE, complete_splits, items_of, split_items
from mocoop.datasets.tree import Folder
from mocoop.errors import PathError

_ANNOTATIONS = ("annotations", "labels", "masks")
_FEW_CLASSES = 3  # with so few classes, a name such as "seg_train" is hardly a class


def read_layout(top: Folder) -> Contents:
    """Returns the classes and splits in a folder, with a description of its layout.

    Raises:
        UserError: for a folder without class folders, an empty class, or splits that do not fit.
    """
    parts = split_folders(top)
    if parts:
        return _read_splits(top, parts)
    if _splits_in_classes(top):
        return _read_splits_in_classes(top)
    domains = _domains(top)
    if domains:
        return _read_domains(top, domains)
    return _read_classes(top)


def without_wrappers(folder: Folder) -> Folder:
    """Returns the folder inside single folders around everything else.

    A single folder that holds pictures itself, or no folder, is a class and no wrapper. One that
    is called `test` or `val` is no wrapper either: its images must not be trained on.
    """
    while len(folder.folders) == 1 and not folder.pictures:
        child = folder.folders[0]
        if not _is_wrapper(child) or split_of(child.name) in ("val", "test"):
            break
        folder = child
    return folder


def _is_wrapper(folder: Folder) -> bool:
    return bool(folder.folders) and not folder.pictures


def _inside_holder(folder: Folder) -> Folder:
    """Returns the folder inside a single `images/`, or one of the same name as the folder."""
    while len(folder.folders) == 1 and not folder.pictures:
        child = folder.folders[0]
        same = name_key(child.name) == name_key(folder.name)
        if not _is_wrapper(child) or not (same or child.name.casefold() in HOLDERS):
            break
        folder = child
    return folder


def _read_splits(top: Folder, parts: Mapping[str, Folder]) -> Contents:
    """Returns the contents of a folder with one folder per split."""
    if "train" not in parts or len(parts) == 1:
        missing = "train" if "train" not in parts else "test"
        raise PathError(
            top.path,
            f" has {', '.join(f'{p.name}/' for p in parts.values())} but no {missing}/. "
            "Add it, or put the class folders directly into the folder: MoCoOp then makes the "
            "splits.",
        )
    files = {split: class_files(_inside_holder(part)) for split, part in parts.items()}
    labels = list(files["train"])
    label_of = {name_key(name): label for label, name in enumerate(labels)}
    for split, by_class in files.items():
        different = {name_key(name): name for name in (*by_class, *labels)}
        for key in sorted(different):
            if key not in label_of or key not in set(map(name_key, by_class)):
                raise PathError(
                    top.path,
                    f": {parts[split].name}/ and {parts['train'].name}/ must have the same class "
                    f"folders; {different[key]!r} is only in one of them. Add or remove it.",
                )
    items = {
        split: tuple(
            Item(path.relative_to(top.path).as_posix(), label_of[name_key(name)])
            for name, paths in by_class.items()
            for path in paths
        )
        for split, by_class in files.items()
    }
    words = ", ".join(
        f"{split}: {part.path.relative_to(top.path).as_posix()}/"
        for split, part in ((split, _inside_holder(part)) for split, part in parts.items())
    )
    splits, note = complete_splits(items, "your own split")
    names = tuple(map(tidy, labels))
    return Contents(tuple(labels), names, splits, note, f"parts of a split ({words})")


def _splits_in_classes(top: Folder) -> bool:
    """Returns whether every class folder holds the parts of a split: `cat/train/*.jpg`.

    Raises:
        PathError: if only some class folders do: their test images would be trained on.
    """
    holding = {folder.name: _parts_of_class(folder) for folder in top.folders if folder.images()}
    with_parts = [name for name, parts in holding.items() if "train" in parts and len(parts) > 1]
    if with_parts and len(with_parts) < len(holding):
        without = next(name for name in holding if name not in with_parts)
        raise PathError(
            top.path,
            f": {with_parts[0]}/ has folders for training and testing, but {without}/ has not. "
            "Give every class both, or none.",
        )
    return bool(with_parts)


def _parts_of_class(folder: Folder) -> dict[str, Folder]:
    """Returns split → the folder of a class's pictures for it; empty if there are others."""
    parts: dict[str, Folder] = {}
    for child in folder.folders:
        split, rest = with_rest(child.name)
        if split and not rest and split not in parts:
            parts[split] = child
    return parts


def _read_splits_in_classes(top: Folder) -> Contents:
    """Returns the contents of class folders, or domains, that each hold the parts of a split."""
    folders = [folder for folder in top.folders if folder.images()]
    parts = {folder.name: _parts_of_class(folder) for folder in folders}
    if all(_is_wrapper(part) for found in parts.values() for part in found.values()):
        return _read_splits_in_domains(top, parts)
    labels = in_order(parts)
    items = {
        split: tuple(
            Item(path.relative_to(top.path).as_posix(), label)
            for label, name in enumerate(labels)
            if split in parts[name]
            for path in parts[name][split].images()
        )
        for split in ("train", "val", "test")
    }
    splits, note = complete_splits(items, "your own split")
    names = tuple(map(tidy, labels))
    return Contents(tuple(labels), names, splits, note, "class folders with a split in each")


def _read_splits_in_domains(top: Folder, parts: Mapping[str, Mapping[str, Folder]]) -> Contents:
    """Returns the contents of domains that each hold train/ and test/ with class folders."""
    files = {
        (domain, split): class_files(_inside_holder(part))
        for domain, found in parts.items()
        for split, part in found.items()
    }
    labels = in_order(name for by_class in files.values() for name in by_class)
    items: dict[str, list[Item]] = {"train": [], "val": [], "test": []}
    for (domain, split), by_class in files.items():
        for name, paths in by_class.items():
            items[split] += [
                Item(path.relative_to(top.path).as_posix(), labels.index(name), tidy(domain))
                for path in paths
            ]
    splits, note = complete_splits({s: tuple(i) for s, i in items.items()}, "your own split")
    names = tuple(map(tidy, labels))
    return Contents(tuple(labels), names, splits, note, "domains with a split in each")


def _domains(top: Folder) -> list[Folder]:
    """Returns the domains: the subfolders, if they hold the same classes; none otherwise.

    They are domains if there are at least two of them, none contains an image directly, and they
    share at least two class folders, which are at least half of all class folders. A domain's
    class folders may be inside `images/`.
    """
    domains = [_inside_holder(folder) for folder in top.folders]
    if len(domains) < 2 or any(domain.pictures for domain in domains):
        return []
    classes = [{name_key(folder.name) for folder in domain.folders} for domain in domains]
    shared, total = set.intersection(*classes), set.union(*classes)
    return domains if len(shared) >= 2 and 2 * len(shared) >= len(total) else []


def _read_domains(top: Folder, domains: Sequence[Folder]) -> Contents:
    """Returns the contents of a folder of domains; a class may be missing in some domains.

    Raises:
        UserError: for a class folder without an image, or two domains of the same name.
    """
    names = [domain.path.relative_to(top.path).parts[0] for domain in domains]
    styles = list(map(tidy, names))
    for style in styles:
        if styles.count(style) > 1:
            raise PathError(top.path, f" has two domains called {style!r}. Rename or merge them.")
    files = [class_files(domain) for domain in domains]
    # The same class may be spelled differently: its first name counts.
    first: dict[str, str] = {}
    for by_class in files:
        for name in by_class:
            first.setdefault(name_key(name), name)
    folders = in_order(first.values())
    labels = {name_key(folder): label for label, folder in enumerate(folders)}
    items, strata = [], []  # one stratum per domain and class
    for domain, (style, by_class) in enumerate(zip(styles, files, strict=True)):
        for folder, paths in by_class.items():
            label = labels[name_key(folder)]
            items += [Item(path.relative_to(top.path).as_posix(), label, style) for path in paths]
            strata += [domain * len(folders) + label] * len(paths)
    note = f"a split made by MoCoOp: in each domain {RULE}"
    return Contents(
        tuple(folders),
        tuple(map(tidy, folders)),
        split_items(items, strata),
        note,
        f"domains with the same class folders ({', '.join(names)})",
    )


def _read_classes(top: Folder) -> Contents:
    """Returns the contents of a folder of class folders, with a split by the rule.

    Raises:
        UserError: if the classes are the parts of a split without class folders.
    """
    parts = loose_splits(folder for folder in top.folders if folder.images())
    if len(parts) > 1:
        raise PathError(
            top.path,
            f": {parts[0].name}/ and {parts[1].name}/ hold images, but no class folders. They "
            "cannot be classes, since test images would be trained on. Put the images into "
            f"{parts[0].name}/<class>/, or give a table with path, label and split.",
        )
    by_class = class_files(top)
    names = tuple(map(tidy, by_class))
    note = f"a split made by MoCoOp: {RULE}"
    items = items_of(top.path, by_class)
    splits = split_items(items, [item.label for item in items])
    return Contents(tuple(by_class), names, splits, note, "class folders", _doubts(top, by_class))


def _doubts(top: Folder, by_class: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """Returns a warning for each class name that is probably not meant as a class."""
    split_layout = "the layout must be train/<class>/ and test/<class>/"
    rests = Counter(rest for split, rest in map(with_rest, by_class) if split)
    doubts = []
    for name in by_class:
        split, rest = with_rest(name)
        # "steam train" is a class among many; "seg_train" beside "seg_test" is none.
        if split and (not rest or rests[rest] > 1 or len(by_class) <= _FEW_CLASSES):
            doubts.append((name, "was read as a class", "is a part of a split", split_layout))
        elif name.casefold() in (*HOLDERS, *_ANNOTATIONS):
            holder = "the class folders must be directly in the data set's folder"
            doubts.append((name, "was read as a class", "only holds the images", holder))
    for folder in top.folders:
        for child in folder.folders:
            inside = f"{folder.name}/{child.name}"
            if with_rest(child.name)[0]:
                read = f"was read as images of the class {folder.name}"
                doubts.append((inside, read, "is a part of a split", split_layout))
    return tuple(
        f"warning: {name}/ {read}. If it {meant}, {layout}" for name, read, meant, layout in doubts
    )

"""Any folder of images: `class/*.jpg`, `train/`, `val/`, `test/` of such, or `domain/class/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from PIL import Image

from mocoop.datasets.base import Contents, Dataset, Item, Stamp, file_key, file_stamp
from mocoop.datasets.class_folders import class_files, only_images, subfolders, tidy
from mocoop.datasets.edits import SKIP_FILE, Edits, read_edits
from mocoop.datasets.splits import RULE, SPLIT_SEED, items_of, split_by_rule, split_items, with_val
from mocoop.errors import PathError
from mocoop.storage.images import open_image
from mocoop.templates import TemplateSet, load_templates

# What people call the splits' folders.
SPLIT_FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class FolderDataset(Dataset):
    """Images in files; an item's id is its path from `root`."""

    root: Path = Path()
    labels: tuple[str, ...] = ()
    """Folder name or label of each class, by which `mocoop.yaml` renames it."""
    edits_folder: Path = Path()
    """Where `mocoop.yaml` and the list of images that are left out lie."""
    note: str = ""
    """Which split this is, in words."""
    left_out: int = 0
    """How many images the list of images to leave out names."""
    path: Path | None = None
    """What the set is opened by; None for one that has a name."""

    def image(self, item: Item) -> Image.Image:
        """Returns the file's picture in RGB."""
        return open_image(self.root / item.id)[0]

    def content_key(self, item: Item) -> str:
        """Returns the hash of the file's bytes."""
        return file_key(self.root / item.id)

    def stamp(self, item: Item) -> Stamp:
        """Returns the file's place, size and time."""
        return file_stamp(self.root / item.id)

    @property
    def source(self) -> str:
        """What `load_dataset` finds this set by: its name or path."""
        return self.name if self.path is None else str(self.path)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which split this is, and how many images are left out."""
        number = "1 image is" if self.left_out == 1 else f"{self.left_out} images are"
        skipped = (f"{number} left out, as {SKIP_FILE} says",) if self.left_out else ()
        return (*((self.note,) if self.note else ()), *skipped)

    def edited(self, edits: Edits, folder: Path) -> Self:
        """Returns the set with the changes that lie in a folder.

        Raises:
            UserError: for changes that do not fit the set.
        """
        names = edits.rename(self.labels, self.class_names)
        splits, left_out = edits.without_skipped(self.splits, names)
        return replace(
            self,
            class_names=names,
            splits=splits,
            templates=edits.templates(self.templates),
            edits_folder=folder,
            left_out=left_out,
        )


def load_folder(root: Path) -> FolderDataset:
    """Returns the data set in a folder; classes are sorted by folder name.

    With `train/` and `test/` (and perhaps `val/`) those splits are used; where `val/` is
    missing a seeded fifth of `train/` takes its place. Without them a seeded split by class
    is made: 50 % train, 20 % validation, 30 % test. Folders of the same classes in several
    folders (`photo/dog`, `sketch/dog`) are domains, which become the images' styles.

    Raises:
        UserError: for a missing or empty folder, an empty class, names that clash, or splits
            with different classes.
    """
    if not root.is_dir():
        raise PathError(root, ": no such folder. Expected a folder of class folders.")
    parts = _split_folders(root)
    if parts:
        contents = _read_splits(root, parts)
    elif has_domains(root):
        contents = read_domains(root)
    else:
        by_class = class_files(root)
        names = tuple(map(tidy, by_class))
        note = f"a split of our own: {RULE}"
        contents = Contents(tuple(by_class), names, split_by_rule(root, by_class), note)
    return assemble(root.resolve().name, contents, load_templates("photos"), root, root)


def assemble(
    name: str, contents: Contents, templates: TemplateSet, root: Path, path: Path
) -> FolderDataset:
    """Returns a data set of one's own, with the changes that lie beside it.

    Args:
        name: what to call it.
        contents: its classes and items.
        templates: its templates, if no changes bring others.
        root: where the items' paths start.
        path: the folder or file that it is opened by.

    Raises:
        UserError: for changes that do not fit.
    """
    labels, names, splits, note = contents
    folder = path if path.is_dir() else path.parent
    edits = read_edits(folder)
    # Checked only after renaming: that is how two classes of the same name are told apart.
    unique = edits.rename(labels, names)
    made = FolderDataset(
        name, unique, splits, templates, root, labels, folder, note, path=path.absolute()
    )
    return made.edited(edits, folder)


def _split_folders(root: Path) -> dict[str, Path]:
    """Returns split → its folder, for the splits that have one."""
    found = {}
    for split, names in SPLIT_FOLDERS.items():
        there = [root / name for name in names if (root / name).is_dir()]
        if len(there) > 1:
            raise PathError(
                root, f" has {there[0].name}/ and {there[1].name}/, which mean the same. Keep one."
            )
        if there:
            found[split] = there[0]
    return found


def _read_splits(root: Path, parts: Mapping[str, Path]) -> Contents:
    """Returns the contents of folders of splits."""
    missing = [split for split in ("train", "test") if split not in parts]
    if missing:
        raise PathError(
            root,
            f" has {', '.join(f'{p.name}/' for p in parts.values())} but no {missing[0]}/. "
            "Add it, or put the class folders directly into the folder to have them split for "
            "you.",
        )
    listed = {split: class_files(path) for split, path in parts.items()}
    folders = list(listed["train"])
    for split, by_class in listed.items():
        if list(by_class) != folders:
            odd = sorted(set(by_class) ^ set(folders))[0]
            raise PathError(
                root,
                f": {split}/ and train/ must have the same class folders; {odd!r} is "
                "only in one of them. Add or remove it.",
            )
    splits = {split: items_of(root, by_class) for split, by_class in listed.items()}
    note = "your own split"
    if "val" not in splits:
        splits, note = (
            with_val(splits),
            f"{note}; validation: a fifth of train/, seed {SPLIT_SEED}",
        )
    return Contents(tuple(folders), tuple(map(tidy, folders)), splits, note)


def has_domains(root: Path) -> bool:
    """Returns whether a folder's folders are domains rather than classes.

    They are if there are two or more, none holds an image itself, and at least half of the
    class folders in them are in all of them, two at least.
    """
    domains = subfolders(root)
    if len(domains) < 2:
        return False
    if any(only_images(path.name for path in domain.iterdir()) for domain in domains):
        return False
    classes = [{folder.name for folder in subfolders(domain)} for domain in domains]
    shared, every = set.intersection(*classes), set.union(*classes)
    return len(shared) >= 2 and 2 * len(shared) >= len(every)


def read_domains(root: Path) -> Contents:
    """Returns the contents of a folder of domains; a class may be missing in some of them.

    Raises:
        UserError: for a class folder without an image, or two domains of the same name.
    """
    listed = {domain.name: class_files(domain) for domain in subfolders(root)}
    return _contents(root, listed, f"a split of our own: in each domain {RULE}")


def _contents(root: Path, listed: dict[str, dict[str, list[Path]]], note: str) -> Contents:
    styles = [tidy(domain) for domain in listed]
    for style in styles:
        if styles.count(style) > 1:
            raise PathError(root, f" has two domains called {style!r}. Rename or join them.")
    folders = sorted({folder for by_class in listed.values() for folder in by_class})
    place = {folder: label for label, folder in enumerate(folders)}
    items, strata = [], []
    for number, (style, by_class) in enumerate(zip(styles, listed.values(), strict=True)):
        for folder, files in by_class.items():
            label = place[folder]
            items += [Item(file.relative_to(root).as_posix(), label, style) for file in files]
            strata += [number * len(folders) + label] * len(files)
    names = tuple(map(tidy, folders))
    return Contents(tuple(folders), names, split_items(items, strata), note)

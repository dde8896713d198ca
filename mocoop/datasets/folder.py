"""Your own folders of images: `class/*.jpg`, with or without `train/` and `test/` or domains."""

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

# Common names of the splits' folders.
SPLIT_FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class FolderDataset(Dataset):
    """Images in files; an item's id is its path relative to `root`."""

    root: Path = Path()
    labels: tuple[str, ...] = ()
    """Folder name or label of each class; `mocoop.yaml` uses it to rename the class."""
    edits_folder: Path = Path()
    """Folder of `mocoop.yaml` and of the list of images to skip."""
    note: str = ""
    """A description of the split, for people."""
    left_out: int = 0
    """How many images are skipped."""
    path: Path | None = None
    """The path that loads this set; None for a set that is loaded by its name."""

    def image(self, item: Item) -> Image.Image:
        """Returns the file's image in RGB."""
        return open_image(self.root / item.id)[0]

    def content_key(self, item: Item) -> str:
        """Returns the SHA-256 of the file's bytes."""
        return file_key(self.root / item.id)

    def stamp(self, item: Item) -> Stamp:
        """Returns the file's stamp: path, size and times."""
        return file_stamp(self.root / item.id)

    @property
    def source(self) -> str:
        """The name or path that `load_dataset` needs to load this set."""
        return self.name if self.path is None else str(self.path)

    @property
    def remarks(self) -> tuple[str, ...]:
        """A description of the split, and how many images are skipped."""
        number = "1 image is" if self.left_out == 1 else f"{self.left_out} images are"
        skipped = (f"{number} skipped (listed in {SKIP_FILE})",) if self.left_out else ()
        return (*((self.note,) if self.note else ()), *skipped)

    def edited(self, edits: Edits, folder: Path) -> Self:
        """Returns the set with these changes, which were read from `folder`.

        Raises:
            UserError: if the changes do not match the set.
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

    If there are folders `train/` and `test/`, these splits are used. If `val/` is missing, a
    seeded fifth of `train/` becomes the validation split. Without these folders, a seeded split
    by class is made: 50 % train, 20 % validation, 30 % test. If several folders contain the same
    class folders (`photo/dog`, `sketch/dog`), they are domains and become the images' styles.

    Raises:
        UserError: for a missing or empty folder, an empty class, classes of the same name, or
            splits with different classes.
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
        note = f"a split made by MoCoOp: {RULE}"
        contents = Contents(tuple(by_class), names, split_by_rule(root, by_class), note)
    return assemble(root.resolve().name, contents, load_templates("photos"), root, root)


def assemble(
    name: str, contents: Contents, templates: TemplateSet, root: Path, path: Path
) -> FolderDataset:
    """Returns a data set of the user's own, with the changes of the files beside it.

    Args:
        name: name of the set.
        contents: its classes and items.
        templates: its templates, unless the changes set others.
        root: folder that the items' paths are relative to.
        path: the folder or file that the set is loaded from.

    Raises:
        UserError: if the changes do not match the set.
    """
    labels, names, splits, note = contents
    folder = path if path.is_dir() else path.parent
    edits = read_edits(folder)
    # Rename before the names are checked: this is how users fix two classes of the same name.
    unique = edits.rename(labels, names)
    dataset = FolderDataset(
        name, unique, splits, templates, root, labels, folder, note, path=path.absolute()
    )
    return dataset.edited(edits, folder)


def _split_folders(root: Path) -> dict[str, Path]:
    """Returns split → its folder, for the splits that have one."""
    parts = {}
    for split, names in SPLIT_FOLDERS.items():
        paths = [root / name for name in names if (root / name).is_dir()]
        if len(paths) > 1:
            raise PathError(
                root, f" has {paths[0].name}/ and {paths[1].name}/, which mean the same. Keep one."
            )
        if paths:
            parts[split] = paths[0]
    return parts


def _read_splits(root: Path, parts: Mapping[str, Path]) -> Contents:
    """Returns the contents of a folder with one folder per split."""
    missing = [split for split in ("train", "test") if split not in parts]
    if missing:
        raise PathError(
            root,
            f" has {', '.join(f'{p.name}/' for p in parts.values())} but no {missing[0]}/. "
            "Add it, or put the class folders directly into the folder: MoCoOp then makes the "
            "splits.",
        )
    files = {split: class_files(path) for split, path in parts.items()}
    folders = list(files["train"])
    for split, by_class in files.items():
        if list(by_class) != folders:
            different = sorted(set(by_class) ^ set(folders))[0]
            raise PathError(
                root,
                f": {split}/ and train/ must have the same class folders; {different!r} is "
                "only in one of them. Add or remove it.",
            )
    splits = {split: items_of(root, by_class) for split, by_class in files.items()}
    note = "your own split"
    if "val" not in splits:
        splits, note = (
            with_val(splits),
            f"{note}; validation: a fifth of train/, seed {SPLIT_SEED}",
        )
    return Contents(tuple(folders), tuple(map(tidy, folders)), splits, note)


def has_domains(root: Path) -> bool:
    """Returns whether the subfolders of a folder are domains rather than classes.

    They are domains if there are at least two of them, none contains an image directly, and they
    share at least two class folders, which are at least half of all class folders.
    """
    domains = subfolders(root)
    if len(domains) < 2:
        return False
    if any(only_images(path.name for path in domain.iterdir()) for domain in domains):
        return False
    classes = [{folder.name for folder in subfolders(domain)} for domain in domains]
    shared, total = set.intersection(*classes), set.union(*classes)
    return len(shared) >= 2 and 2 * len(shared) >= len(total)


def read_domains(root: Path) -> Contents:
    """Returns the contents of a folder of domains; a class may be missing in some domains.

    Raises:
        UserError: for a class folder without an image, or two domains of the same name.
    """
    files = {domain.name: class_files(domain) for domain in subfolders(root)}
    styles = [tidy(domain) for domain in files]
    for style in styles:
        if styles.count(style) > 1:
            raise PathError(root, f" has two domains called {style!r}. Rename or merge them.")
    folders = sorted({folder for by_class in files.values() for folder in by_class})
    labels = {folder: label for label, folder in enumerate(folders)}
    items, strata = [], []  # one stratum per domain and class
    for domain, (style, by_class) in enumerate(zip(styles, files.values(), strict=True)):
        for folder, paths in by_class.items():
            label = labels[folder]
            items += [Item(path.relative_to(root).as_posix(), label, style) for path in paths]
            strata += [domain * len(folders) + label] * len(paths)
    names = tuple(map(tidy, folders))
    note = f"a split made by MoCoOp: in each domain {RULE}"
    return Contents(tuple(folders), names, split_items(items, strata), note)

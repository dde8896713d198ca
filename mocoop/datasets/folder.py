"""Images in files, and your own folders of images by the layout of the folders."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from PIL import Image

from mocoop.datasets.base import (
    Contents,
    Dataset,
    Item,
    Stamp,
    check_each_class_trained,
    file_key,
    file_stamp,
)
from mocoop.datasets.brightness import White, key_with_white, stamp_with_white, white_level
from mocoop.datasets.edits import SKIP_FILE, Edits, read_edits
from mocoop.datasets.layouts import read_layout, without_wrappers
from mocoop.datasets.left_aside import Aside, in_words, left_in_tree
from mocoop.datasets.packed import Packed
from mocoop.datasets.tree import Folder, read_tree
from mocoop.errors import PathError
from mocoop.storage.images import open_image
from mocoop.storage.unpacked import InUse
from mocoop.templates import TemplateSet, load_templates


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
    layout: str = ""
    """How the images were laid out, in words; empty for a benchmark set."""
    warnings: tuple[str, ...] = ()
    """What may have been read otherwise than it was meant."""
    list_file: str = ""
    """Name of the file that lists the images; empty if the folders say it all."""
    white: White | None = None
    """What is white in images of more than 8 bits; None if there are none."""
    aside: Aside = field(default_factory=dict)
    """Files beside the images that are not used: reason → paths."""
    edits_inside: Path | None = None
    """Folder of changes that count where `edits_folder` has none: those inside of an archive."""
    in_use: InUse | None = field(default=None, compare=False, repr=False)
    """Keeps an unpacked archive in the cache as long as its images may be read."""

    def image(self, item: Item) -> Image.Image:
        """Returns the file's image in RGB."""
        return open_image(self.root / item.id, white=self.white_value)[0]

    def content_key(self, item: Item) -> str:
        """Returns the SHA-256 of the file's bytes, and of the value that is white if it counts."""
        return key_with_white(file_key(self.root / item.id), self.white_value)

    def stamp(self, item: Item) -> Stamp:
        """Returns the file's stamp: path, size and times."""
        return stamp_with_white(file_stamp(self.root / item.id), self.white_value)

    @property
    def white_value(self) -> float | None:
        """The value that is white in images of more than 8 bits; None if there are none."""
        return self.white.value if self.white else None

    @property
    def source(self) -> str:
        """The name or path that `load_dataset` needs to load this set."""
        return self.name if self.path is None else str(self.path)

    @property
    def remarks(self) -> tuple[str, ...]:
        """The layout with its numbers, the split, warnings, what was left aside or skipped."""
        number = "1 image is" if self.left_out == 1 else f"{self.left_out} images are"
        skipped = (f"{number} skipped (listed in {SKIP_FILE})",) if self.left_out else ()
        note = (self.note,) if self.note else ()
        white = (self.white.in_words(),) if self.white else ()
        return (*self._read_as(), *note, *self.warnings, *white, *in_words(self.aside), *skipped)

    def _read_as(self) -> tuple[str, ...]:
        """Returns a sentence with the layout and the number of images of each part."""
        if not self.layout:
            return ()
        counts = ", ".join(f"{len(items):,} {split}" for split, items in self.splits.items())
        return (f"read as {self.layout}: {len(self.class_names):,} classes; {counts}",)

    def edits(self) -> Edits:
        """Returns the changes to this set that are on disk now."""
        return read_edits(self.edits_folder, self.edits_inside)

    def edited(self, edits: Edits, folder: Path) -> Self:
        """Returns the set with these changes, which were read from `folder`.

        Raises:
            UserError: if the changes do not match the set, or a class has no training image.
        """
        names = edits.rename(self.labels, self.class_names)
        splits, left_out = edits.without_skipped(self.splits, names)
        check_each_class_trained(self.name, names, splits)
        return replace(
            self,
            class_names=names,
            splits=splits,
            templates=edits.templates(self.templates),
            edits_folder=folder,
            left_out=left_out,
            white=self.white if edits.white is None else White(edits.white, 0),
        )


def load_folder(root: Path) -> FolderDataset:
    """Returns the data set in a folder, by the layout of its folders.

    Folders such as `train/` and `test/`, in any case and of any usual name, are splits. If
    `val/` is missing, a seeded fifth of `train/` becomes the validation split. Without these
    folders, a seeded split by class is made: 50 % train, 20 % validation, 30 % test. If several
    folders contain the same class folders (`photo/dog`, `sketch/dog`), they are domains and
    become the images' styles. Single folders around everything else do not matter.

    Raises:
        UserError: for a missing or empty folder, an empty class, a class without training
            images, classes of the same name, or splits with different classes.
    """
    if not root.is_dir():
        raise PathError(root, ": no such folder. Expected a folder of class folders.")
    return load_tree(read_tree(root), root)


def load_tree(tree: Folder, root: Path, packed: Packed | None = None) -> FolderDataset:
    """Returns the data set in a folder that was read already; see `load_folder`."""
    top = without_wrappers(tree)
    contents = read_layout(top)
    aside = left_in_tree(tree, top.path, contents.splits)
    name = root.resolve().name
    return assemble(name, contents, load_templates("photos"), top.path, root, aside, packed)


def assemble(
    name: str,
    contents: Contents,
    templates: TemplateSet,
    root: Path,
    path: Path,
    aside: Aside | None = None,
    packed: Packed | None = None,
) -> FolderDataset:
    """Returns a data set of the user's own, with the changes of the files beside it.

    Args:
        name: name of the set.
        contents: its classes and items.
        templates: its templates, unless the changes set others.
        root: folder that the items' paths are relative to.
        path: the folder or file that the set is loaded from.
        aside: which files beside the images are not used, and why.
        packed: what is different in an unpacked archive.

    Raises:
        UserError: if the changes do not match the set.
    """
    inside = path if path.is_dir() else path.parent
    folder = packed.edits if packed and packed.edits else inside
    edits = read_edits(folder, inside)
    # Rename before the names are checked: this is how users fix two classes of the same name.
    unique = edits.rename(contents.labels, contents.class_names)
    dataset = FolderDataset(
        name,
        unique,
        contents.splits,
        templates,
        root,
        contents.labels,
        folder,
        contents.note,
        path=path.absolute(),
        layout=contents.layout,
        warnings=contents.warnings,
        list_file=contents.list_file,
        aside=aside or {},
        edits_inside=inside,
    )
    changed = dataset.edited(edits, folder)
    if changed.white is not None:  # set by the user
        return changed
    return replace(changed, white=white_level(root, changed.items("train")))

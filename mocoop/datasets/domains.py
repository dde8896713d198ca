"""Sets of several domains, `domain/class/*.jpg` as in PACS: each domain is a style."""

from __future__ import annotations

from pathlib import Path

from mocoop.datasets.base import Contents, Item
from mocoop.datasets.listing import class_files, only_images, subfolders
from mocoop.datasets.names import tidy
from mocoop.datasets.splitting import RULE, split_items
from mocoop.errors import UserError


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
            raise UserError(f"{root} has two domains called {style!r}. Rename or join them.")
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

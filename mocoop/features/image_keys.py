"""Keys of many images together: they change whenever a pixel or a label of them may have changed.

Images are compared by their content keys, which the cache of features keeps: files that did not
change are not read again, and drawn pictures have their recipes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from mocoop.datasets.base import Dataset, Item
from mocoop.features.cache import content_keys
from mocoop.storage.cache_folder import default_cache


class ImageKeys:
    """Computes the keys; each image's content is looked up once.

    Args:
        folder: the cache folder; the default one if None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._keys = content_keys(folder or default_cache())
        self._contents: dict[str, dict[str, str]] = {}  # source → item id → content key
        self._tests: dict[str, str] = {}  # source → key

    def of_test(self, dataset: Dataset) -> str:
        """Returns the key of a data set's test images, with their labels and the class names."""
        if dataset.source not in self._tests:
            images = self.of_items(dataset, dataset.items("test"))
            self._tests[dataset.source] = digest([dataset.class_names, images])
        return self._tests[dataset.source]

    def of_items(self, dataset: Dataset, items: Sequence[Item]) -> str:
        """Returns the key of images in this order, with their labels and styles."""
        known = self._contents.setdefault(dataset.source, {})
        new = [item for item in items if item.id not in known]
        contents, unreadable = self._keys.of(dataset, new)
        found = contents | dict.fromkeys(unreadable, "unreadable")
        known |= {new[index].id: key for index, key in found.items()}
        return digest([item.label, item.style, known[item.id]] for item in items)


def digest(values: Iterable[object]) -> str:
    """Returns the SHA-256 of plain values, one after the other."""
    whole = hashlib.sha256()
    for value in values:
        whole.update(json.dumps(value).encode() + b"\n")
    return whole.hexdigest()

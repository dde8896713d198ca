"""Data sets in memory: pictures, or their features, that a program passes as arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mocoop.datasets.base import Dataset, Item, Stamp, file_key, file_stamp
from mocoop.datasets.brightness import key_with_white, stamp_with_white
from mocoop.errors import UserError
from mocoop.storage.images import open_image


@dataclass(frozen=True)
class GivenPictures(Dataset):
    """Pictures in memory, or in files in any folders."""

    pictures: Mapping[str, Path | Image.Image] = field(default_factory=dict, repr=False)
    """Item id → path of its file, or picture in RGB."""
    white: float | None = None
    """The value that is white in files of more than 8 bits; None to guess it for each alone."""

    @property
    def white_value(self) -> float | None:
        """The value that is white in images of more than 8 bits; None if there are none."""
        return self.white

    def image(self, item: Item) -> Image.Image:
        """Returns the picture in RGB."""
        picture = self.pictures[item.id]
        if isinstance(picture, Path):
            return open_image(picture, white=self.white)[0]
        return picture

    def content_key(self, item: Item) -> str:
        """Returns the SHA-256 of the file's bytes, or of the picture's size and pixels."""
        picture = self.pictures[item.id]
        if isinstance(picture, Path):
            return key_with_white(file_key(picture), self.white)
        digest = hashlib.sha256(f"RGB {picture.width} x {picture.height}\n".encode())
        digest.update(picture.tobytes())
        return digest.hexdigest()

    def stamp(self, item: Item) -> Stamp | None:
        """Returns the stamp of the picture's file; None for a picture in memory."""
        picture = self.pictures[item.id]
        if isinstance(picture, Path):
            return stamp_with_white(file_stamp(picture), self.white)
        return None


@dataclass(frozen=True)
class GivenFeatures(Dataset):
    """Image features without pictures."""

    rows: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    """Item id → feature (dim,), fp32."""

    def features(self, items: Sequence[Item]) -> np.ndarray:
        """Returns the features (items, dim), unchanged."""
        dim = len(next(iter(self.rows.values())))
        return np.array([self.rows[item.id] for item in items], np.float32).reshape(-1, dim)

    def image(self, item: Item) -> Image.Image:
        """Raises UserError, because there is no picture."""
        raise UserError(
            f"{item.id} is a feature, but its picture is needed here. Give pictures, or choose a "
            "method that does not train the image tower."
        )

    def content_key(self, item: Item) -> str:
        """Returns the SHA-256 of the feature's bytes."""
        return hashlib.sha256(self.rows[item.id].tobytes()).hexdigest()

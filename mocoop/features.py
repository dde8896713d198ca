"""Image features on disk, found again by content: computed once, shared by all runs.

A feature is keyed by weights and transform (the folder) and by the picture's content and
view (the row). New features go to a new shard, written whole; two processes that compute
the same features at once write the same shard.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mocoop.backbone import Backbone
from mocoop.datasets.base import Dataset, Item
from mocoop.files import write_tensors
from mocoop.images import random_crop

Progress = Callable[[int, int], None]  # done, total
VIEW_SCALE = (0.5, 1.0)  # area of a random crop, as a share of the image
_KEY_BYTES = 16


def default_cache() -> Path:
    """Returns the cache folder: MOCOOP_CACHE, or ~/.cache/mocoop."""
    chosen = os.environ.get("MOCOOP_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "mocoop"


class FeatureCache:
    """Image features of one backbone.

    Args:
        backbone: the frozen CLIP that computes what is missing.
        folder: where all backbones' features lie; `default_cache()` if None.
        batch_size: images per forward pass.
        keep: write new features to disk; without, they live as long as this object.
    """

    def __init__(
        self,
        backbone: Backbone,
        folder: Path | None = None,
        batch_size: int = 64,
        keep: bool = True,
    ) -> None:
        self.backbone = backbone
        self.keep = keep
        self._unkept: dict[bytes, Tensor] = {}
        self.folder = (folder or default_cache()) / "features" / backbone.fingerprint
        self.batch_size = batch_size

    def features(
        self,
        dataset: Dataset,
        items: Sequence[Item],
        views: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Returns L2-normalised features (items, views, dim), fp32, on the CPU.

        View 0 is the centre crop; the others are random resized crops with a mirror image
        every other time, drawn from `seed`, the picture's content and the view's number.

        Args:
            dataset: where the items' pictures come from.
            items: which pictures.
            views: how many views of each.
            seed: of the random views.
            progress: called with pictures done and to do, while computing.

        Raises:
            UserError: for a picture that cannot be read.
        """
        contents = [dataset.content_key(item) for item in items]
        wanted = [
            (index, view, _row_key(content, view, seed))
            for index, content in enumerate(contents)
            for view in range(views)
        ]
        known = self._load()
        missing = [entry for entry in wanted if entry[2] not in known]
        if missing:
            known |= self._compute(dataset, items, missing, seed, progress)
        rows = torch.stack([known[key] for _, _, key in wanted])
        return rows.view(len(items), views, -1)

    def _compute(
        self,
        dataset: Dataset,
        items: Sequence[Item],
        missing: Sequence[tuple[int, int, bytes]],
        seed: int,
        progress: Progress | None,
    ) -> dict[bytes, Tensor]:
        """Returns the missing features by key, after writing them to a shard."""
        parts = []
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            pictures = [
                self.backbone.transform(view_of(dataset.image(items[index]), view, key))
                for index, view, key in batch
            ]
            parts.append(self.backbone.image_features(torch.stack(pictures)).cpu())
            if progress is not None:
                progress(start + len(batch), len(missing))
        features = torch.cat(parts)
        keys = [key for _, _, key in missing]
        found = dict(zip(keys, features, strict=True))
        if not self.keep:
            self._unkept |= found
            return found
        table = torch.from_numpy(np.frombuffer(b"".join(keys), np.uint8).copy())
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
        shard = {"keys": table.view(-1, _KEY_BYTES), "features": features}
        write_tensors(self.folder / f"{name}.safetensors", shard)
        return found

    def _load(self) -> dict[bytes, Tensor]:
        """Returns all cached features by key; a damaged shard counts as absent."""
        known = dict(self._unkept)
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                shard = load_file(path)
                keys = shard["keys"].numpy().tobytes()
            except (SafetensorError, KeyError, OSError):
                continue
            for row, feature in enumerate(shard["features"]):
                known[keys[row * _KEY_BYTES : (row + 1) * _KEY_BYTES]] = feature
        return known


def view_of(image: Image.Image, view: int, key: bytes) -> Image.Image:
    """Returns a view of an image: itself for view 0, else a crop drawn from `key`."""
    if view == 0:
        return image
    return random_crop(image, int.from_bytes(key[:8], "little") % 2**63, VIEW_SCALE)


def _row_key(content: str, view: int, seed: int) -> bytes:
    text = content if view == 0 else f"{content}|view {view} of seed {seed}, scale {VIEW_SCALE}"
    return hashlib.sha256(text.encode()).digest()[:_KEY_BYTES]

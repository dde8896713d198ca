"""Encodes the images of a training before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mocoop.clip.device import tower_dtype
from mocoop.config import TrainConfig
from mocoop.features.cache import FeatureCache
from mocoop.training.prepare import prepare

AT_ONCE = 256  # images between two looks at whether to stop; they are stored together


def encode_ahead(
    config: TrainConfig, stop: Callable[[], bool], cache_folder: Path | None = None
) -> None:
    """Writes the image features that a training and its test need into the cache.

    Args:
        config: the settings of the training.
        stop: asked again and again whether to stop early; what is encoded by then is kept.
        cache_folder: the cache of image features; the default cache if None.

    Raises:
        UserError: for data, backbone or settings that do not fit together, images that cannot be
            read, or a cache that is not writable.
    """
    if stop():
        return
    prepared = prepare(config)
    precision = tower_dtype(prepared.config.precision, prepared.backbone.device)
    cache = FeatureCache(prepared.backbone, cache_folder, precision=precision)
    once = (*prepared.val_items, *prepared.dataset.items("test"))
    for items, views in ((prepared.train_items, config.views), (once, 1)):
        for start in range(0, len(items), AT_ONCE):
            if stop():
                return
            cache.features(prepared.dataset, items[start : start + AT_ONCE], views, config.seed)

"""Measures feature extraction against the image tower alone; not a test.

python tests/measure_extraction.py FOLDER [--images 512] [--backbone ViT-B-32] [--rounds 3]

The tower has random weights, which cost what real ones cost, and encodes pictures that lie in
memory already; extraction opens, decodes and transforms the folder's files, and writes the cache.
Both take turns; the medians are compared.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
import tyro

from mocoop.clip.backbone import Backbone, choose_device, make_backbone
from mocoop.datasets import Dataset, load_dataset
from mocoop.features.cache import FeatureCache


@dataclass(frozen=True)
class Command:
    """Measure feature extraction against the image tower alone."""

    folder: tyro.conf.Positional[Path]
    """A data set with enough training images."""
    images: int = 512
    """How many of them."""
    backbone: str = "ViT-B-32"
    """An open_clip architecture."""
    rounds: int = 3
    """Rounds; the medians are over them."""


def tower_rate(clip: Backbone, pictures: torch.Tensor, images: int) -> float:
    """Returns images per second of the tower on pictures (64, 3, height, width) in memory."""
    cache, done, began = FeatureCache(clip, keep=False), 0, time.perf_counter()
    while done < images:
        cache.encoder.batch(pictures)
        done += len(pictures)
    return done / (time.perf_counter() - began)


def extraction_rate(clip: Backbone, data: Dataset, images: int) -> float:
    """Returns images per second from files to a new cache."""
    with tempfile.TemporaryDirectory() as folder:
        cache, began = FeatureCache(clip, Path(folder)), time.perf_counter()
        cache.features(data, data.items("train")[:images])
        return images / (time.perf_counter() - began)


def main(command: Command) -> None:
    """Prints both rates and their ratio."""
    data = load_dataset(str(command.folder))
    model = open_clip.create_model(command.backbone)
    tokenizer = open_clip.get_tokenizer(command.backbone)
    clip = make_backbone(command.backbone, model, tokenizer, choose_device("auto"))
    items = data.items("train")[:64]
    pictures = torch.stack([clip.transform(data.image(item)) for item in items])
    tower_rate(clip, pictures, 128)  # warm
    pairs = [
        (tower_rate(clip, pictures, command.images), extraction_rate(clip, data, command.images))
        for _ in range(command.rounds)
    ]
    tower, extraction = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    print(f"tower {tower:.1f} images/s, extraction {extraction:.1f}, {extraction / tower:.1%}")


if __name__ == "__main__":
    main(tyro.cli(Command))

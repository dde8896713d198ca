"""Measures how often pictures count as unlike a run's training images; not a test.

python tests/measure_unlike.py RUN

The pictures: the run's own test images, those of the other built-in sets, and pure noise.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from PIL import Image

from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.datasets.builtin import BUILTIN
from mocoop.evaluation.unlike_training import training_distances
from mocoop.features.cache import FeatureCache
from mocoop.runs.run import open_run

NOISE_PICTURES, SIDE = 300, 64


def measure(name: str) -> None:
    """Prints the share of each set's pictures that count as unlike the training images."""
    run = open_run(name)
    config = run.setup().config
    training = training_distances(run)
    backbone = load_backbone(config.backbone)
    cache = FeatureCache(backbone)

    def show(what: str, features: torch.Tensor) -> None:
        unlike = training.unlike(training.distances(features))
        print(f"{what}: {100 * unlike.mean():.0f} % of {len(unlike)}")

    for data in dict.fromkeys((config.data, *BUILTIN)):
        dataset = load_dataset(data)
        show(data, cache.features(dataset, dataset.items("test"))[:, 0])
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (NOISE_PICTURES, SIDE, SIDE, 3), dtype=np.uint8)
    inputs = torch.stack([backbone.transform(Image.fromarray(one)) for one in noise])
    with torch.no_grad():
        show("noise", backbone.image_features(inputs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    measure(parser.parse_args().run)

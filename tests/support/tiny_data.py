"""Folders for whole runs of seconds: a few pictures, and a checkpoint of the tiny CLIP."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image
from safetensors.torch import save_file

from tests.support.tiny import TINY_CONFIG, tiny_clip

COLOURS = {"red cup": (200, 40, 40), "green leaf": (40, 180, 60), "blue bird": (40, 60, 210)}


def picture_folder(path, size=40):
    """Writes a folder of three classes with train, val and test images; returns its name."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        for name, colour in COLOURS.items():
            folder = path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                noise = generator.integers(-40, 41, (size, size + 8, 3))
                pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return str(path)


def tiny_checkpoint(path, seed=0):
    """Writes the tiny CLIP as a local checkpoint; returns its name."""
    path.mkdir(parents=True)
    config = {"model_cfg": TINY_CONFIG, "preprocess_cfg": {}}
    (path / "open_clip_config.json").write_text(json.dumps(config))
    weights = {name: value.contiguous() for name, value in tiny_clip(seed).state_dict().items()}
    save_file(weights, path / "open_clip_model.safetensors")
    return str(path)

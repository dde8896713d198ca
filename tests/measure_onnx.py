"""Measures classifier.onnx beside torch: `python -m tests.measure_onnx`.

Both answer the same pictures of 375 × 500 pixels, from pixels to label, with as many threads as
there are cores. Prints the median of milliseconds per picture, for the built-in CLIP and for one
of the size of ViT-B/16 with random weights, and the largest difference between probabilities.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from mocoop.classifiers.label import open_session
from mocoop.classifiers.onnx_whole import write_whole
from mocoop.clip.backbone import load_backbone, make_backbone
from mocoop.features.encode import encode_images
from tests.classifiers.test_onnx_whole import random_mixture

BATCHES, SECONDS = (1, 16), 6.0


def milliseconds(step: Callable[[], object], pictures: int) -> float:
    """Returns the median time of a step, per picture."""
    step()
    spent, began = [], time.perf_counter()
    while time.perf_counter() - began < SECONDS or len(spent) < 5:
        start = time.perf_counter()
        step()
        spent.append(time.perf_counter() - start)
    return 1000 * statistics.median(spent) / pictures


def main() -> None:
    """Prints a table."""
    demo = load_backbone("demo")
    base = open_clip.create_model("ViT-B-16")
    large = make_backbone("ViT-B/16", base, open_clip.get_tokenizer("ViT-B-16"), demo.device)
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    print(f"load: {os.getloadavg()}, threads: {cores}")
    print("| CLIP | pictures at once | torch | onnxruntime | difference |\n|---|---|---|---|---|")
    for name, backbone in (("built-in", demo), ("ViT-B/16", large)):
        classifier = random_mixture(backbone.text.dim, classes=100)
        with tempfile.TemporaryDirectory() as folder:
            write_whole(Path(folder) / "classifier.onnx", classifier, backbone)
            session = open_session(Path(folder) / "classifier.onnx", cores)
        for count in BATCHES:
            generator = np.random.default_rng(0)
            pixels = generator.integers(0, 256, (count, 375, 500, 3), dtype=np.uint8)
            images = [Image.fromarray(picture) for picture in pixels]

            def by_torch(images=images, backbone=backbone, classifier=classifier):
                features = encode_images(backbone, images)
                return classifier.classify(features).probabilities.numpy()

            def by_onnx(pixels=pixels, session=session):
                return session.run(["probabilities"], {"pictures": pixels})[0]

            largest = float(np.abs(by_torch() - by_onnx()).max())
            times = [milliseconds(step, count) for step in (by_torch, by_onnx)]
            print(f"| {name} | {count} | {times[0]:.1f} ms | {times[1]:.1f} ms | {largest:.0e} |")


if __name__ == "__main__":
    main()

"""Measures classifier.onnx beside torch: `python -m tests.measure_onnx [THREADS]`.

Both answer the same pictures of 375 × 500 pixels, from pixels to label, by turns. Prints the
milliseconds per picture of the fastest round, for the built-in CLIP and for one of the size of
ViT-B/16 with random weights, and the largest difference between probabilities. With one thread
it is processor time, which other programs on the machine disturb little; else the time passed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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

BATCHES, ROUNDS, SECONDS = (1, 8), 3, 10.0


def milliseconds(
    steps: Sequence[Callable[[], object]], pictures: int, now: Callable[[], float]
) -> list[float]:
    """Returns the shortest time of each step, per picture; the steps take turns."""
    spent: list[list[float]] = [[] for _ in steps]
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS or len(spent[0]) < ROUNDS:
        for step, times in zip(steps, spent, strict=True):
            start = now()
            step()
            times.append(now() - start)
    return [1000 * min(times) / pictures for times in spent]


def main() -> None:
    """Prints a table."""
    demo = load_backbone("demo")
    base = open_clip.create_model("ViT-B-16")
    large = make_backbone("ViT-B/16", base, open_clip.get_tokenizer("ViT-B-16"), demo.device)
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    now = time.process_time if threads == 1 else time.perf_counter
    print(f"load: {os.getloadavg()}, threads: {threads}")
    print("| CLIP | pictures at once | torch | onnxruntime | difference |\n|---|---|---|---|---|")
    for name, backbone in (("built-in", demo), ("ViT-B/16", large)):
        classifier = random_mixture(backbone.text.dim, classes=100)
        with tempfile.TemporaryDirectory() as folder:
            write_whole(Path(folder) / "classifier.onnx", classifier, backbone)
            session = open_session(Path(folder) / "classifier.onnx", threads)
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
            times = milliseconds((by_torch, by_onnx), count, now)
            print(f"| {name} | {count} | {times[0]:.1f} ms | {times[1]:.1f} ms | {largest:.0e} |")


if __name__ == "__main__":
    main()

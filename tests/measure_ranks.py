"""Measures a training step in one process and in two: `python -m tests.measure_ranks`.

Prints wall and processor seconds of a step, medians over turns; each process has one thread. The
prompts are those of the built-in CLIP for made-up class names.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import torch

from mocoop.clip.backbone import load_backbone
from mocoop.config import TrainConfig
from mocoop.datasets import load_dataset
from mocoop.model.build import build_model
from mocoop.model.losses import classification_loss
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training import ranks

STEPS, WARM = 8, 2
IMAGES = 32


def measure(classes: int) -> tuple[float, float]:
    """Returns the median wall and processor seconds of a step of this process."""
    torch.set_num_threads(1)
    with ranks.joined(TrainConfig(device="cpu")):
        backbone = load_backbone("demo")
        config = replace(preset("mocoop"), precision="fp32")
        generator = torch.Generator().manual_seed(1)
        groups = load_dataset("albums").templates.groups
        model = build_model(config, backbone, groups, generator)
        names = [f"thing number {number}" for number in range(classes)]
        tokens = ClassTokens.from_names(backbone.text.tokens, names)
        features = torch.randn(IMAGES, backbone.text.dim, generator=generator)
        features = torch.nn.functional.normalize(features, dim=-1)
        labels = torch.arange(IMAGES) % classes
        learned = [p for p in model.parameters() if p.requires_grad]
        walls, cores = [], []
        with ranks.shared(model, lambda: "00"):
            for _ in range(STEPS + WARM):
                wall, core = time.perf_counter(), time.process_time()
                soft = model.text_features(backbone.text, tokens)
                loss = classification_loss(model(features, soft).logits, labels)
                gradients = torch.autograd.grad(loss, learned, materialize_grads=True)
                model.ranks.mean(gradients)
                walls.append(time.perf_counter() - wall)
                cores.append(time.process_time() - core)
    return statistics.median(walls[WARM:]), statistics.median(cores[WARM:])


def run(world: int, classes: int) -> tuple[float, float]:
    """Returns the medians of the first of some processes."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    line = [sys.executable, "-m", "tests.measure_ranks", "--one", "--classes", str(classes)]
    processes = [
        subprocess.Popen(
            line,
            env=os.environ | shared | {"RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    said = [process.communicate()[0] for process in processes]
    wall, core = map(float, said[0].split())
    return wall, core


def main() -> None:
    """Prints a line for one process and one for two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--one", action="store_true")
    asked = parser.parse_args()
    if asked.one:
        print(*measure(asked.classes))
        return
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(asked.turns):
        for world in found:
            found[world].append(run(world, asked.classes))
    for world, times in found.items():
        wall, core = (statistics.median(part) for part in zip(*times, strict=True))
        print(f"{world} processes: {wall:.3f} s a step, {core:.3f} s of a core in each")


if __name__ == "__main__":
    main()

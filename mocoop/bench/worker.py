"""The process that measures one case: it reads commands and answers each with a line of JSON.

`python -m mocoop.bench.worker CASE` reads the commands `describe`, `step`, `image` and
`products` from standard input, one per line. CASE is a `Case` as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import open_clip
import psutil
import torch
import torch.nn.functional as F
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mocoop.bench.plain_path import plain_loss
from mocoop.clip.backbone import Backbone, choose_device, load_backbone, make_backbone
from mocoop.clip.frozen_attention import FrozenAttention
from mocoop.config import Precision, TrainConfig
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import HardText
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.slow_imports import complete_open_clip
from mocoop.training.data import TrainingData
from mocoop.training.image_sources import CachedImages, ImageSource, LiveImages
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses

Sides = Literal["plain", "ours"]
Recipes = Literal["frozen", "tuned"]


@dataclass(frozen=True)
class Case:
    """One case of the measurement: a path, a recipe and a size."""

    side: Sides
    """plain, or ours: MoCoOp's fast path."""
    recipe: Recipes
    """frozen image tower, or tuned LayerNorms."""
    classes: int
    experts: int
    precision: Precision = "fp32"
    backbone: str = "ViT-B-16"
    """An open_clip architecture (with random weights), or a name that `load_backbone` takes."""
    batch: int = 32
    threads: int = 1
    device: str = "cpu"

    @property
    def label(self) -> str:
        """The name of the case in messages."""
        return (
            f"{self.side} {self.recipe} {self.precision}, "
            f"{self.classes} classes × {self.experts} experts"
        )


@dataclass(frozen=True)
class Timing:
    """Time and memory of a command."""

    seconds: float
    """Wall-clock time."""
    cpu_seconds: float
    """CPU time of the process, summed over all its threads."""
    peak_bytes: int
    """Peak memory above that of the process before its first step."""


class Bench:
    """A training that is ready for its first step.

    Args:
        case: the case to measure.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.device = choose_device(case.device)
        self.backbone = architecture(case.backbone, self.device)
        for module in self.backbone.model.visual.modules():
            if isinstance(module, FrozenAttention):
                module.quick = case.side == "ours"
        self.names = class_names(case.classes)
        self.config = _config(case)
        generator = torch.Generator().manual_seed(1)
        assert self.config.groups is not None
        self.model = build_model(self.config, self.backbone, self.config.groups, generator)
        self.tower = self.backbone.text
        self.classes = ClassTokens.from_names(self.tower.tokens, self.names)
        self.data = _data(case, self.backbone, self.names, generator)
        self.labels = torch.randint(case.classes, (case.batch,), generator=generator)
        self.labels = self.labels.to(self.device)
        self.pictures = torch.randn(case.batch, 3, *image_size(self.backbone), generator=generator)
        self.pictures = self.pictures.to(self.device)
        self.stepper = PromptOptimizer(self.model, self.config)
        self.generator = generator
        self.steps = 0
        self.base = memory_in_use(self.device)

    def step(self) -> None:
        """Does one full optimiser step."""
        self.steps += 1
        if self.case.side == "ours":
            chosen = torch.arange(self.case.batch)
            features = self.data.train.batch(self.model, chosen, self.steps, self.generator)
            losses, _ = step_losses(
                self.model, self.tower, self.classes, features, self.labels, self.data, self.config
            )
        else:
            with torch.set_grad_enabled(self.model.tunes_images):
                features = self.model.image_features(self.backbone.model.visual, self.pictures)
            scale = self.model.logit_scale if self.config.text_scale == "logit" else 1.0
            loss = plain_loss(
                self.model, self.tower, self.names, features, self.labels,
                self.data.hard.prototypes, self.config.text_weight, scale,
            )  # fmt: skip
            losses = {"total": loss}
        self.stepper.step(losses, 1, self.steps)

    def image(self) -> None:
        """Runs only the image tower, forward and backward to its LayerNorms."""
        assert self.model.norms is not None
        features = self.model.image_features(self.backbone.model.visual, self.pictures)
        torch.autograd.grad(features.sum(), list(self.model.norms.parameters()))

    def operations(self, call: Callable[[], None]) -> int:
        """Returns the multiplications and additions in the matrix products of a call."""
        counter = FlopCounterMode(display=False)
        with counter:
            call()
        return counter.get_total_flops()

    def tokens(self) -> int:
        """Returns the number of tokens that a step encodes."""
        if self.case.side == "plain":
            return self.case.classes * self.case.experts * self.tower.context_length
        layout = self.model.prompts.pack(self.tower, self.classes).layout
        return sum(chunk.rows for chunk in layout.chunks(self.tower.chunk_rows))

    def products(self, repeats: int = 8) -> dict[str, float]:
        """Returns the operations per second of matrix products, by wall clock and by CPU time.

        The products are those of the text tower's linear layers, forward and backward, with the
        number of rows of a chunk.
        """
        dtype, width = self.model.precision, self.tower.width
        layout = self.model.prompts.pack(self.tower, self.classes).layout
        rows = max(chunk.rows for chunk in layout.chunks(self.tower.chunk_rows))
        sizes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
        pairs = [
            (torch.randn(rows, a), torch.randn(a, b)) for one in sizes for a, b in (one, one[::-1])
        ]
        ready = [(x.to(self.device, dtype), w.to(self.device, dtype)) for x, w in pairs]
        total = sum(2 * rows * w.numel() for _, w in ready)
        best = [float("inf"), float("inf")]
        for _ in range(repeats):
            timing = timed(lambda: [x @ w for x, w in ready], self.device, 0)
            best = [min(best[0], timing.seconds), min(best[1], timing.cpu_seconds)]
        return {"by_clock": total / best[0], "by_cpu": total / best[1]}

    def answer(self, command: str) -> dict[str, Any]:
        """Runs a command and returns its answer."""
        if command == "products":
            return self.products()
        if command == "describe":  # this is also the first step, which warms up
            return {"tokens": self.tokens(), "operations": self.operations(self.step)}
        return asdict(timed(getattr(self, command), self.device, self.base))


def class_names(count: int) -> tuple[str, ...]:
    """Returns the first `count` class names of ImageNet."""
    return tuple(IMAGENET_CLASSNAMES[:count])


def groups_of(count: int) -> dict[str, tuple[str, ...]]:
    """Returns `count` groups of one template each, evenly spaced in CLIP's list of 80."""
    texts = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    chosen = np.linspace(0, len(texts) - 1, count).astype(int)
    return {f"expert {number}": (texts[index],) for number, index in enumerate(chosen)}


def timed(call: Callable[[], Any], device: torch.device, base: int) -> Timing:
    """Returns the time and the memory of a call; memory is counted above `base` bytes."""
    _reset_peak(device)
    clock_start, cpu_start = time.perf_counter(), time.process_time()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds, cpu_seconds = time.perf_counter() - clock_start, time.process_time() - cpu_start
    return Timing(seconds, cpu_seconds, max(0, _peak(device) - base))


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to the memory in use


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.exists():
        return psutil.Process().memory_info().rss
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def memory_in_use(device: torch.device) -> int:
    """Returns the bytes of memory that the process has on a device."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def architecture(name: str, device: torch.device) -> Backbone:
    """Returns a CLIP; an architecture gets random weights, which are as fast as trained ones."""
    if name not in open_clip.list_models():
        return load_backbone(name, device)
    complete_open_clip()
    torch.manual_seed(0)
    model = open_clip.create_model(name, load_weights=False)
    return make_backbone(name, model, open_clip.get_tokenizer(name), device)


def image_size(backbone: Backbone) -> tuple[int, int]:
    """Returns the height and width of the images that a CLIP sees."""
    size = backbone.model.visual.image_size
    return size if isinstance(size, tuple) else (size, size)


def _config(case: Case) -> TrainConfig:
    base = preset("mocoop" if case.recipe == "frozen" else "mocoop-ln", case.backbone)
    return replace(
        base,
        groups=groups_of(case.experts),
        num_chosen=min(2, case.experts),
        batch_size=case.batch,
        precision=case.precision,
        augment="none",
    )


def _data(
    case: Case, backbone: Backbone, names: tuple[str, ...], generator: torch.Generator
) -> TrainingData:
    """Returns random features or images; the content does not change the cost."""

    def random(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, backbone.text.dim, generator=generator)
        return F.normalize(drawn, dim=-1).to(backbone.device)

    images: ImageSource = CachedImages(random(case.batch, 1))
    if case.recipe == "tuned":
        pixels = np.random.default_rng(0).integers(0, 256, (case.batch, *image_size(backbone), 3))
        images = LiveImages(
            backbone.model.visual,
            lambda index: Image.fromarray(pixels[index].astype(np.uint8)),
            case.batch,
            backbone.transform,
            backbone.device,
        )
    hard = random(case.experts, case.classes)
    owner = torch.arange(case.experts, device=backbone.device)
    labels = torch.zeros(case.batch, dtype=torch.long)
    text = HardText(hard, hard, hard, owner)
    return TrainingData(images, labels, images, labels, names, len(names), text)


def answer_commands(kind: type[Any], make: Callable[[Any], Any]) -> None:
    """Answers commands until the input ends.

    Args:
        kind: the dataclass of the case, which is the process's argument as JSON.
        make: returns the measurement of a case; its `answer` takes a command.
    """
    # Text that libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    case = kind(**json.loads(sys.argv[1]))
    torch.set_num_threads(case.threads)
    bench = make(case)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(bench.answer(line.strip())), file=answers, flush=True)


if __name__ == "__main__":
    answer_commands(Case, Bench)

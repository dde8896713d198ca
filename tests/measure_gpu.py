"""Measures everything about a GPU that the documents leave open, in one run; not a test.

python -m tests.measure_gpu --out FOLDER [--device cuda] [--minutes 8] [--small]

The parts run in order of their worth, each within its share of the time; what has no time left
is not measured. After every part FOLDER/gpu.json is written anew, so that a stop loses one part
at most. Weights are random, which cost what trained ones cost. `--small --device cpu` takes the
built-in CLIP and small sizes: it shows on any machine that the script works.
"""

from __future__ import annotations

import gc
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor

from mocoop.bench.method_worker import MethodBench, MethodCase, MethodSide
from mocoop.bench.plain_path import plain_loss
from mocoop.bench.worker import Bench, Case, Timing, architecture, image_size, memory_in_use, timed
from mocoop.clip.backbone import choose_device
from mocoop.datasets import load_dataset
from mocoop.features.cache import FeatureCache
from mocoop.storage.atomic import write_text
from mocoop.training.step_losses import step_losses

Precision = Literal["fp32", "TF32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "TF32", "bf16")
GIB = 2**30
IMAGENET_STEPS = 1000 * 16 // 32 * 50  # classes × shots / batch × epochs


@dataclass(frozen=True)
class Command:
    """Measure a GPU: correctness, product rates, steps, methods, ImageNet, tuning, extraction."""

    out: Path
    """Folder of gpu.json."""
    device: str = "cuda"
    """The device."""
    minutes: float = 8.0
    """Time of all parts together."""
    small: bool = False
    """The built-in CLIP and small sizes."""


@dataclass
class Measuring:
    """What all parts need, and what they found."""

    command: Command
    device: torch.device
    backbone: str
    end: float
    """When the current part has to end, by `time.monotonic`."""
    found: dict[str, Any] = field(default_factory=dict)

    def median_step(self, bench: Bench | MethodBench, steps: int = 5) -> dict[str, float]:
        """Returns median seconds and peak GiB of a step, after two that warm up."""
        for _ in range(2):
            bench.step()
        timings: list[Timing] = []
        while len(timings) < steps and (len(timings) < 2 or time.monotonic() < self.end):
            timings.append(timed(bench.step, self.device, bench.base))
        return {
            "seconds": statistics.median(t.seconds for t in timings),
            "peak_gib": max(t.peak_bytes for t in timings) / GIB,
            "steps": len(timings),
        }

    def case(self, side: MethodSide, classes: int, experts: int, **more: Any) -> Case:
        """Returns a case of the frozen recipe, or as told."""
        settings = {"side": side, "recipe": "frozen", "classes": classes, "experts": experts}
        settings |= {"backbone": self.backbone, "device": self.command.device, "threads": 4}
        return Case(**(settings | more))


def in_precision(precision: Precision) -> Literal["fp32", "bf16"]:
    """Sets how the GPU multiplies fp32 numbers, and returns the precision of the case."""
    torch.set_float32_matmul_precision("high" if precision == "TF32" else "highest")
    return "bf16" if precision == "bf16" else "fp32"


def freed() -> None:
    """Gives back the memory of what is no longer used."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def correctness(measuring: Measuring) -> Iterator[tuple[str, Any]]:
    """Losses and gradients of a step against the plain path's in fp32 on the same device."""
    classes = 10 if measuring.command.small else 50
    bench = Bench(measuring.case("plain", classes, 3))
    features = torch.nn.functional.normalize(
        torch.randn(32, bench.tower.dim, generator=torch.Generator().manual_seed(2)), dim=-1
    ).to(measuring.device)
    learned = [p for p in bench.model.parameters() if p.requires_grad]
    in_precision("fp32")
    scale = bench.model.logit_scale if bench.config.text_scale == "logit" else 1.0
    exact = plain_loss(
        bench.model, bench.tower, bench.names, features, bench.labels,
        bench.data.hard.prototypes, bench.config.text_weight, scale,
    )  # fmt: skip
    true = gradient(exact, learned)
    for precision in PRECISIONS:
        config = replace(bench.config, precision=in_precision(precision))
        bench.model.precision = torch.bfloat16 if precision == "bf16" else torch.float32
        losses, _ = step_losses(
            bench.model, bench.tower, bench.classes, features, bench.labels, bench.data, config
        )
        got = gradient(losses["total"], learned)
        yield (
            precision,
            {
                "loss_error": abs(float((losses["total"] / exact).detach()) - 1),
                "gradient_error": float((got - true).norm() / true.norm()),
                "gradient_cosine": float(torch.cosine_similarity(got, true, 0)),
            },
        )


def gradient(loss: Tensor, learned: list[torch.nn.Parameter]) -> Tensor:
    """Returns the gradient of a loss by all learned numbers, as one vector."""
    parts = torch.autograd.grad(loss, learned, allow_unused=True)
    given = [torch.zeros_like(p) if g is None else g for p, g in zip(learned, parts, strict=True)]
    return torch.cat([part.reshape(-1) for part in given]).double()


def products(measuring: Measuring) -> Iterator[tuple[str, Any]]:
    """Operations per second of large square products: what the card gives at best."""
    side = 512 if measuring.command.small else 8192
    for precision in PRECISIONS:
        dtype = torch.bfloat16 if in_precision(precision) == "bf16" else torch.float32
        a, b = (torch.randn(side, side, device=measuring.device, dtype=dtype) for _ in range(2))
        best = min(
            timed(partial(torch.matmul, a, b), measuring.device, 0).seconds for _ in range(6)
        )
        yield precision, {"operations_per_second": 2 * side**3 / best}


def steps(measuring: Measuring) -> Iterator[tuple[str, Any]]:
    """Steps of ours in every precision, and of the plain path where it is not too large."""
    sizes = [(10, 6), (100, 6), (100, 20), (1000, 6), (10, 1), (100, 1), (1000, 1), (10, 20)]
    for classes, experts in [(4, 2), (10, 6)] if measuring.command.small else sizes:
        for precision in PRECISIONS:
            case = measuring.case("ours", classes, experts, precision=in_precision(precision))
            yield f"ours {classes} × {experts} {precision}", rate(measuring, case)
        if classes * experts <= 2000:
            in_precision("fp32")
            case = measuring.case("plain", classes, experts)
            yield f"plain {classes} × {experts} fp32", rate(measuring, case)


def rate(measuring: Measuring, case: Case) -> dict[str, float]:
    """Returns the time and memory of a step, its tokens, and its operations per second."""
    bench = Bench(case)
    operations = bench.operations(bench.step)
    found = measuring.median_step(bench)
    more = {"tokens": bench.tokens(), "operations_per_second": operations / found["seconds"]}
    return found | more


def methods(measuring: Measuring) -> Iterator[tuple[str, Any]]:
    """A step of the mixtures and of PromptSRC with the classes of ImageNet, in bf16."""
    small = measuring.command.small
    for method in ("mocoop", "mocoop-v", "promptsrc", "mocoop-cond"):
        case = MethodCase(
            "ours", method, 10 if small else 1000, 4, 4, measuring.backbone, 4,
            measuring.command.device,
        )  # fmt: skip
        bench = MethodBench(case)
        bench.model.precision = torch.bfloat16
        yield method, measuring.median_step(bench)
        del bench
        freed()


def imagenet(measuring: Measuring) -> Iterator[tuple[str, Any]]:
    """ImageNet with 20 experts and cached features: 200 steps, and what 50 epochs would take."""
    small = measuring.command.small
    case = measuring.case("ours", 10 if small else 1000, 20, precision=in_precision("bf16"))
    bench = Bench(case)
    for _ in range(2):
        bench.step()
    done, began = 0, time.perf_counter()
    while done < (5 if small else 200) and (done < 5 or time.monotonic() < measuring.end):
        bench.step()
        done += 1
    if measuring.device.type == "cuda":
        torch.cuda.synchronize(measuring.device)
    spent = (time.perf_counter() - began) / done
    found = {"steps": done, "seconds": spent, "projected_hours": spent * IMAGENET_STEPS / 3600}
    yield f"{case.classes} × {case.experts} bf16", found


def tuned(measuring: Measuring) -> Iterator[tuple[str, Any]]:
    """Images per second of the tuned recipe, and of its tower's forward and backward alone."""
    case = measuring.case("ours", 10 if measuring.command.small else 100, 6, recipe="tuned")
    for precision in ("fp32", "bf16"):
        bench = Bench(replace(case, precision=in_precision(precision)))
        whole = measuring.median_step(bench)["seconds"]
        tower = [timed(bench.image, measuring.device, bench.base).seconds for _ in range(4)]
        alone = statistics.median(tower[1:])
        yield precision, {"step": case.batch / whole, "tower": case.batch / alone}


def extraction(measuring: Measuring) -> Iterator[tuple[str, Any]]:
    """Images per second from JPEG files to features, of the tower alone, and of decoding alone."""
    count = 64 if measuring.command.small else 4096
    clip = architecture(measuring.backbone, measuring.device)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        dice = np.random.default_rng(0)
        for number in range(count):
            target = root / "train" / f"class {number % 4}" / f"{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(dice.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(target, quality=90)
        data = load_dataset(name)
        items = data.items("train")
        began = time.perf_counter()
        some = [clip.transform(data.image(item)) for item in items[:64]]
        decoding = len(some) / (time.perf_counter() - began)
        cache = FeatureCache(clip, root / "cache")
        cache.features(data, items[: count // 8])  # warm
        began = time.perf_counter()
        cache.features(data, items)
        whole = (count - count // 8) / (time.perf_counter() - began)
    pictures = torch.stack(some).to(measuring.device)
    assert pictures.shape[2:] == image_size(clip)
    alone = [timed(lambda: clip.image_features(pictures), measuring.device, 0) for _ in range(5)]
    tower = len(pictures) / statistics.median(t.seconds for t in alone[1:])
    yield "images per second", {"whole": whole, "tower": tower, "decoding, one process": decoding}


Part = Callable[[Measuring], Iterator[tuple[str, Any]]]
PARTS: tuple[tuple[Part, float], ...] = (
    (correctness, 0.06), (products, 0.02), (methods, 0.12), (imagenet, 0.25), (steps, 0.35),
    (tuned, 0.1), (extraction, 0.1),
)  # fmt: skip
"""Each part with its share of the time."""


def measure(command: Command) -> dict[str, Any]:
    """Runs all parts, prints every result, writes gpu.json after each, and returns all."""
    device = choose_device(command.device)
    backbone = "demo" if command.small else "ViT-B-16"
    measuring = Measuring(command, device, backbone, 0.0)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    found = measuring.found
    found["machine"] = {"device": name, "torch": torch.__version__, "clip": backbone}
    command.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    planned = 0.0
    for part, share in PARTS:
        planned += share
        measuring.end = began + 60 * command.minutes * planned
        results = found.setdefault(part.__name__, {})
        try:
            for label, values in part(measuring):
                results[label] = values
                print(f"{part.__name__}: {label}: {values}", flush=True)
                if time.monotonic() > measuring.end:
                    results["stopped"] = "its share of the time was over"
                    break
        except (RuntimeError, torch.OutOfMemoryError) as error:  # the others may still work
            results["error"] = str(error)
            print(f"{part.__name__}: {error}", flush=True)
        freed()
        results["left_gib"] = memory_in_use(device) / GIB
        write_text(command.out / "gpu.json", json.dumps(found, indent=1) + "\n")
    return found


if __name__ == "__main__":
    measure(tyro.cli(Command))

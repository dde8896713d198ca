"""Costs of sizes that no machine here can run, from constants that were measured.

    python docs/cost_model.py

prints the section "Costs on paper" of docs/scale.md. Times of a training step are those of
`assets/bench` (`mocoop bench --write`: one core of a CPU, and one H100); the federation's are
measured anew, in processor time. Each model is fitted on some sizes and tested on others.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from mocoop.federated.federation import Federation
from mocoop.federated.server import Server, Update
from mocoop.federated.settings import FederatedConfig
from mocoop.markdown import markdown_table
from mocoop.methods import METHODS
from mocoop.presets import preset

BENCH = Path(__file__).parents[1] / "assets" / "bench"
CLASSES = (1000, 100, 37, 196, 102, 101, 100, 397, 47, 10, 101)  # of the eleven sets
SHOTS, BATCH, EPOCHS, SEEDS = 16, 32, 50, 3
LARGER = 768 / 512  # width of ViT-L/14's text tower over that of ViT-B/16; both have 12 blocks
FITTED = 1000  # tokens; on a CPU, steps with fewer are fitted, the others are told
EXPERTS = 6  # of a mixture, as in the measured steps
IMAGE_SECONDS = 3.45 / 4  # forward and backward of an image, ViT-B/16, one core: docs/speed.md
IMAGE_LARGER = 257 * 24 * 1024**2 / (197 * 12 * 768**2)  # ViT-L/14: tokens, blocks, width squared
HOUR = 3600.0
PROMPT = 16 * 512  # numbers of one prompt of pFedMoAP with ViT-B/16


def main() -> None:
    """Prints all tables."""
    # A CPU is fitted on small steps. A GPU waits for its launches in those, so it is fitted on its
    # two largest steps, and the smaller ones are told from them.
    cpu, gpu = steps("bench.json"), steps("h100.json")
    small = [one for one in cpu if one[0] < FITTED]
    lines = {"CPU, one core": line(small), "H100": line(gpu[-2:])}
    print("### The model of a step and its error\n")
    rows = []
    for name, tested in (("CPU, one core", cpu[len(small) :]), ("H100", gpu[:-2])):
        start, slope = lines[name]
        for tokens, seconds in tested:
            told = start + slope * tokens
            error = f"{100 * (told / seconds - 1):+.0f} %".replace("-", "−")
            rows.append((name, f"{tokens:,}", f"{seconds:.3g}", f"{told:.3g}", error))
    print(markdown_table(("where", "tokens", "measured, s", "model, s", "error"), rows, "lrrrr"))
    print("\n### Eleven sets, 16 images per class, 50 epochs, 3 seeds, ViT-L/14\n")
    table = [eleven(*kind, lines) for kind in kinds()]
    print(markdown_table(("what learns", "methods", "CPU, core hours", "H100, hours"),
                         table, "lrrr"))  # fmt: skip
    print("\n### 21,841 names × 20 experts\n")
    print(markdown_table(("tower", "tokens", "CPU, s per step", "H100, s per step",
                          "text features"), large(lines), "lrrrr"))  # fmt: skip
    print("\n### 10,000 clients\n")
    print(federation())


def steps(name: str) -> list[tuple[int, float]]:
    """Returns (tokens, seconds) of the measured steps of our path in fp32, frozen towers."""
    content = json.loads((BENCH / name).read_text(encoding="utf-8"))
    found = []
    for one in content["results"]:
        case = one["case"]
        wanted = (case["side"], case["recipe"], case["precision"]) == ("ours", "frozen", "fp32")
        if wanted and one["step"]:
            timed = "cpu_seconds" if case["device"] == "cpu" else "seconds"
            found.append((one["tokens"], float(np.median([s[timed] for s in one["step"]]))))
    return sorted(found)


def line(measured: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Returns start and slope of a line through sizes, which minimises relative errors."""
    x, y = np.array(measured).T
    slope, start = np.polyfit(x, y, 1, w=1 / y)
    return float(start), float(slope)


def tokens_of(classes: int, experts: int) -> float:
    """Returns the tokens of a step, as in the measured steps: names of about two tokens."""
    return experts * (1 + 4.2 * classes)


def kinds() -> list[tuple[int, bool, int]]:
    """Returns (experts, whether the image tower learns, number of methods) of all kinds."""
    found: Counter[tuple[int, bool]] = Counter()
    for key, method in METHODS.items():
        if method.learns_prompts:
            experts = EXPERTS if method.is_mixture else 1
            found[experts, preset(key, "ViT-L-14/openai").tunes_images] += 1
    return [(*kind, count) for kind, count in sorted(found.items())]


def eleven(
    experts: int, images: bool, methods: int, lines: dict[str, tuple[float, float]]
) -> tuple[object, ...]:
    """Returns a row: hours of all trainings of methods of a kind on the eleven sets."""
    hours = []
    for name, (start, slope) in lines.items():
        seconds = 0.0
        for classes in CLASSES:
            count = EPOCHS * -(-SHOTS * classes // BATCH)
            seconds += count * (start + slope * LARGER**2 * tokens_of(classes, experts))
            if images:
                seconds += EPOCHS * SHOTS * classes * IMAGE_SECONDS * IMAGE_LARGER
        told = f"{methods * SEEDS * seconds / HOUR:,.0f}"
        hours.append("not measured" if images and name == "H100" else told)
    what = f"{experts} prompt{'s' * (experts > 1)}" + (" and the image tower" if images else "")
    return (what, methods, *hours)


def large(lines: dict[str, tuple[float, float]]) -> list[tuple[str, ...]]:
    """Returns rows: a step with all names of ImageNet-21k and 20 experts."""
    rows = []
    for name, wider, dim in (("ViT-B/16", 1.0, 512), ("ViT-L/14", LARGER, 768)):
        tokens = tokens_of(21_841, 20)
        told = [f"{start + slope * wider**2 * tokens:,.0f}" for start, slope in lines.values()]
        size = 20 * 21_841 * dim * 4 / 1e9
        rows.append((name, f"{tokens:,.0f}", *told, f"{size:.1f} GB"))
    return rows


def federation() -> str:
    """Returns what a round of 10,000 clients costs the server and the clients, as a table."""
    torch.set_num_threads(1)
    rows = []
    for what, times, power in (
        ("averages the updates", [(n, _averages(n)) for n in (50, 100, 400)], 1),
        ("finds the 9 nearest prompts of all", [(n, _nearest(n)) for n in (1000, 2000)], 2),
        ("trains all clients (MoCoOp, albums, demo CLIP)", _clients((3, 6)), 1),
    ):
        (small, first), *_, (largest, last) = times
        told = first * (largest / small) ** power
        at = last * (10_000 / largest) ** power
        error = f"{100 * (told / last - 1):+.0f} %".replace("-", "−")
        rows.append((what, f"{last:.3g} s with {largest}", error, f"{at:,.0f} s"))
    sizes = f"prompts in the pool: {10_000 * PROMPT * 4 / 1e9:.2f} GB; a client gets "
    sizes += f"{10 * PROMPT * 4 / 1e6:.2f} MB and sends {PROMPT * 4 / 1e6:.3f} MB in a round"
    heads = ("in a round, one core", "measured", "error of the model", "10,000 clients")
    return f"{markdown_table(heads, rows, 'lrrr')}\n\n{sizes}"


def _updates(count: int) -> list[Update]:
    generator = torch.Generator().manual_seed(0)
    return [
        Update(str(n), 5, {"prompt": torch.randn(PROMPT, generator=generator)})
        for n in range(count)
    ]


def _averages(count: int) -> float:
    updates = _updates(count)
    return _timed(lambda: Server({"prompt": torch.zeros(PROMPT)}, 1e9).receive(updates))


def _nearest(count: int) -> float:
    server = Server({"prompt": torch.zeros(PROMPT)}, 1e9)
    server.receive(_updates(count))
    clients = list(server.pool)
    return _timed(lambda: server.nearest(clients, 9))


def _clients(counts: Sequence[int]) -> list[tuple[int, float]]:
    found = []
    for count in counts:
        # Each client has 85 images or so, whatever their number.
        config = FederatedConfig(
            strategy="mocoop", partition="dirichlet", clients=count, rounds=1, beta=100.0,
            shots=max(1, round(85 * count / 32)),
        )  # fmt: skip
        federation = Federation(config)
        orders = federation.run()
        next(orders)
        found.append((count, _timed(lambda orders=orders: next(orders), repeats=1)))
    return found


def _timed(call: Callable[[], object], repeats: int = 3) -> float:
    """Returns the median processor time of a call, in seconds."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return float(np.median(found))


if __name__ == "__main__":
    main()

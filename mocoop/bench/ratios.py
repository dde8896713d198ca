"""`make bench-check`: how much faster our paths are than the plain ones, against stored ratios.

Both sides of a training step run in this process, by turns, on the built-in CLIP. What counts is
the ratio of their CPU times, plain / ours, as a median over the rounds: seconds depend on the
machine and on what else it does, ratios hardly do. A ratio that fell by more than a fifth is
measured again, with more rounds, before the check fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mocoop.assets import asset
from mocoop.bench.method_worker import MethodBench, MethodCase
from mocoop.bench.runner import processor_name
from mocoop.bench.worker import Bench, Case
from mocoop.storage.atomic import write_json

LOSS = 0.2
"""The largest part of a stored ratio that may be lost, on a processor like that of the store."""
LOSS_ELSEWHERE = 0.4
"""The same on another processor: its ratios differ by themselves."""
ROUNDS, TRIES = 5, 3
LONG_ENOUGH = 0.03  # CPU seconds of a sample: shorter ones are mostly the clock's own error
CLIP = "demo"
PATHS: dict[str, Case | MethodCase] = {
    "10 classes × 4 experts": Case("ours", "frozen", 10, 4, backbone=CLIP, batch=8),
    "40 classes × 1 expert": Case("ours", "frozen", 40, 1, backbone=CLIP, batch=8),
    "tuned image tower": Case("ours", "tuned", 10, 1, backbone=CLIP, batch=8),
    "tokens in both towers": MethodCase("ours", "ivlp", classes=10, backbone=CLIP),
    "low-rank updates": MethodCase("ours", "clip-lora", classes=10, backbone=CLIP),
    "contexts by image": MethodCase("ours", "mocoop-cond", classes=5, experts=2, backbone=CLIP),
}
"""Name of a fast path → our side of a training step that it makes faster."""
Step = Callable[[], None]


@dataclass(frozen=True)
class Verdict:
    """A path's ratio now, beside the stored one."""

    name: str
    ratio: float
    stored: float | None
    """None for a path that is not in the store."""
    allowed: float
    """The largest part of the stored ratio that may be lost."""

    @property
    def lost(self) -> bool:
        """Whether too much of the stored ratio is lost, or there is none."""
        return self.stored is None or self.ratio < (1 - self.allowed) * self.stored

    def __str__(self) -> str:
        if self.stored is None:
            return f"{self.name}: {self.ratio:.2f} times as fast as plain; nothing is stored"
        change = 100 * (self.ratio / self.stored - 1)
        end = f"  more than {100 * self.allowed:.0f} % lost" if self.lost else ""
        return (
            f"{self.name}: {self.ratio:.2f} times as fast as plain, {self.stored:.2f} stored "
            f"({change:+.0f} %){end}"
        )


def sides(case: Case | MethodCase) -> tuple[Step, Step]:
    """Returns a step of the plain side and one of ours."""
    if isinstance(case, Case):
        return Bench(replace(case, side="plain")).step, Bench(case).step
    return MethodBench(replace(case, side="plain")).step, MethodBench(case).step


def ratio_by_turns(plain: Step, ours: Step, rounds: int) -> float:
    """Returns the median of plain / ours over rounds in which each side has a turn."""
    counts = [_count(step) for step in (plain, ours)]
    ratios = []
    for _ in range(rounds):
        each = [_cpu_seconds(s, n) / n for s, n in zip((plain, ours), counts, strict=True)]
        ratios.append(each[0] / each[1])
    return median(ratios)


def _count(step: Step) -> int:
    """Returns how many steps make a sample that is long enough; this also warms the side up."""
    step()
    once = _cpu_seconds(step, 1)
    return max(1, round(LONG_ENOUGH / max(once, 1e-4)))


def _cpu_seconds(step: Step, count: int) -> float:
    before = time.process_time()
    for _ in range(count):
        step()
    return time.process_time() - before


def check(
    name: str, pair: tuple[Step, Step], stored: float | None, allowed: float, rounds: int = ROUNDS
) -> Verdict:
    """Returns the verdict on a path; a loss counts only if it is found again every time.

    Args:
        name: the path.
        pair: a step of the plain side and one of ours.
        stored: the stored ratio; None if there is none.
        allowed: the largest part of it that may be lost.
        rounds: rounds of the first try; later ones have more.
    """
    best = Verdict(name, ratio_by_turns(*pair, rounds), stored, allowed)
    for number in range(2, TRIES + 1):
        if not best.lost or stored is None:
            break
        again = ratio_by_turns(*pair, number * rounds)
        best = replace(best, ratio=max(best.ratio, again))
    return best


def store_file() -> Path:
    """Returns the file of the stored ratios."""
    return asset("bench") / "ratios.json"


def document(ratios: Mapping[str, float]) -> dict[str, Any]:
    """Returns what the file of stored ratios holds: the ratios, and how they were made."""
    return {
        "made_with": "make bench-check WRITE=1",
        "what": "CPU time of a training step, plain / ours, median over rounds by turns",
        "processor": processor_name(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rounds": ROUNDS,
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks all paths, or stores their ratios, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-check", description=__doc__)
    parser.add_argument("--write", action="store_true", help="store the ratios as they are now")
    write = parser.parse_args(arguments).write
    if write:
        found = {}
        for name, case in PATHS.items():
            found[name] = ratio_by_turns(*sides(case), ROUNDS)
            print(f"{name}: {found[name]:.2f} times as fast as plain", flush=True)
        write_json(store_file(), document(found))
        return 0
    stored = json.loads(store_file().read_text(encoding="utf-8"))
    same = stored["processor"] == processor_name()
    allowed = LOSS if same else LOSS_ELSEWHERE
    if not same:
        print(f"The stored ratios are of another processor ({stored['processor']}).")
    verdicts = []
    for name, case in PATHS.items():
        verdicts.append(check(name, sides(case), stored["ratios"].get(name), allowed))
        print(verdicts[-1], flush=True)
    if not any(verdict.lost for verdict in verdicts):
        return 0
    print(
        "A fast path became slower. Mend it; if the loss is meant, or a path is new, store the "
        "ratios anew with `make bench-check WRITE=1` and say why."
    )
    return 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())

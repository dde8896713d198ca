"""Measures what Ray adds to short runs: `python -m tests.measure_ray` (it needs `mocoop[ray]`).

The same trainings of a tiny CLIP, in two processes of this machine and on a Ray cluster with two
cores on it, by turns, each into a new folder. Both engines also start anew in every turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from mocoop.protocols.plans import Plan, tasks
from mocoop.protocols.runner import run_tasks
from mocoop.storage.engines import Engine
from tests.support.tiny_data import picture_folder, tiny_checkpoint


def main() -> None:
    """Prints the medians over turns: until the first run is done, and for each further one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--runs", type=int, default=24)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MOCOOP_CACHE"] = str(folder / "cache")
        plan = Plan(
            "few-shot",
            (picture_folder(folder / "pictures"),),
            ("coop",),
            (1,),
            tuple(range(1, arguments.runs + 1)),
            tiny_checkpoint(folder / "clip"),
            epochs=5,
        )
        found: dict[str, list[tuple[float, float]]] = {"local": [], "ray": []}
        for turn in range(arguments.turns + 1):  # the first warms caches
            for kind, times in found.items():
                times.append(_timed(plan, folder / f"{kind}{turn}", Engine(kind, workers=2)))
    print("| engine | until the first run is done | each further run |\n|---|---:|---:|")
    for kind, times in found.items():
        first, further = (statistics.median(column) for column in zip(*times[1:], strict=True))
        print(f"| {kind} | {first:.2f} s | {further:.3f} s |")


def _timed(plan: Plan, root: Path, engine: Engine) -> tuple[float, float]:
    """Returns the seconds until the first run is done, and the mean of the further ones."""
    began = time.perf_counter()
    ends = [time.perf_counter() for _ in run_tasks(tasks(plan), root, engine=engine)]
    return ends[0] - began, (ends[-1] - ends[0]) / (len(ends) - 1)


if __name__ == "__main__":
    main()

"""Runs the measurements of `mocoop bench`: the two paths by turns, each in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import psutil
import torch

from mocoop.bench.worker import Case, Timing
from mocoop.clip.device import processor_flags

GRID_CLASSES = (10, 100, 1000)
GRID_EXPERTS = (1, 6, 20)
QUICK_SIZES = ((10, 1), (10, 6), (100, 6))  # (classes, experts); the last one without plain
QUICK_REPEATS, REPEATS = 2, 5
KILLED = 9  # the signal with which Linux ends a process when memory is short
ENDS_SECONDS = 30.0  # that a process may take to end once it has closed its output
MEMORY_SHARE = 0.85  # largest share of the free memory that a path may need


@dataclass(frozen=True)
class Measured:
    """The measurements of a case; without steps if it was not measured."""

    case: Case
    step: list[Timing] = field(default_factory=list)
    """Timings of training steps, one per round."""
    image: list[Timing] = field(default_factory=list)
    """Timings of the image tower alone, forward and backward; only for our path, tuned."""
    products: list[dict[str, float]] = field(default_factory=list)
    """Operations per second of matrix products, measured between the steps."""
    tokens: int = 0
    """Tokens that a step encodes."""
    operations: int = 0
    """Operations of the matrix products in a step."""
    reason: str = ""
    """Why the case was not measured."""

    @property
    def seconds(self) -> float:
        """Median wall-clock time of a step."""
        return median(timing.seconds for timing in self.step)

    @property
    def cpu_seconds(self) -> float:
        """Median CPU time of a step, summed over all threads."""
        return median(timing.cpu_seconds for timing in self.step)

    @property
    def peak_bytes(self) -> int:
        """Peak memory of a step above the loaded weights."""
        return max(timing.peak_bytes for timing in self.step)

    @property
    def share(self) -> float | None:
        """Operations per second of a frozen step, as a share of the rate of matrix products.

        A step with a frozen image tower consists almost only of the text side. The share uses
        CPU time on a CPU, because other programs hardly change it, and wall-clock time on other
        devices. None for the tuned recipe.
        """
        if self.case.recipe != "frozen" or not self.products:
            return None
        cpu = self.case.device == "cpu"
        rate = median(p["by_cpu" if cpu else "by_clock"] for p in self.products)
        return self.operations / (self.cpu_seconds if cpu else self.seconds) / rate

    @property
    def beside_image(self) -> float | None:
        """Time of a step divided by that of the image tower alone, forward and backward."""
        if not self.image:
            return None
        cpu = self.case.device == "cpu"
        alone = median(t.cpu_seconds if cpu else t.seconds for t in self.image)
        return (self.cpu_seconds if cpu else self.seconds) / alone


@dataclass(frozen=True)
class Plan:
    """The cases to measure, and how often."""

    cases: tuple[tuple[Case, ...], ...]
    """Groups of cases; the cases of a group run by turns."""
    repeats: int = REPEATS
    """Number of rounds; results are medians over them."""
    limit: float = 180.0
    """Seconds per group; after them, no further round of this group is started."""


def plan(
    backbone: str, device: str, threads: int, repeats: int, limit: float, quick: bool
) -> Plan:
    """Returns the cases of the full measurement, or of a quick one.

    CPU time of the quick one on 2 cores, by the numbers of the full one: three plain steps (the
    first one counts operations) with 1 and 6 experts take 28 + 46 s, our steps 10 s, and the
    start of five processes 50 s. This is 2 to 3 minutes, and less than 5 if other programs use
    half of the cores.
    """
    base = Case("ours", "frozen", 10, 6, "fp32", backbone, threads=threads, device=device)
    if quick:
        one, six, wide = (replace(base, classes=c, experts=e) for c, e in QUICK_SIZES)
        both = tuple((replace(case, side="plain"), case) for case in (one, six))
        return Plan((*both, (wide,)), repeats, limit)
    sizes = [(classes, experts) for experts in GRID_EXPERTS for classes in GRID_CLASSES]
    sizes.sort(key=lambda size: (size[0] * size[1], size[0]))
    tuned, halves = [(10, 6), (100, 6)], [(10, 6), (100, 6), (1000, 6)]
    rows: list[tuple[Case, ...]] = []
    late: list[tuple[Case, ...]] = []  # slow cases come last
    for classes, experts in sizes:
        case = replace(base, classes=classes, experts=experts)
        half = (replace(case, precision="bf16"),) if (classes, experts) in halves else ()
        group = (replace(case, side="plain"), case, *half)
        (late if classes == GRID_CLASSES[-1] else rows).append(group)
    for classes, experts in tuned:
        case = replace(base, recipe="tuned", classes=classes, experts=experts)
        rows.append((replace(case, side="plain"), case, replace(case, precision="bf16")))
    return Plan((*rows, *late), repeats, limit)


class Worker:
    """The process that measures one case.

    Args:
        case: the case, a dataclass with `threads`.
        module: the module that answers the commands.
    """

    def __init__(self, case: Any, module: str = "mocoop.bench.worker") -> None:
        threads = {name: str(case.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        self._errors = tempfile.TemporaryFile(  # noqa: SIM115 -- `close` closes it
            "w+", encoding="utf-8", errors="replace"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(asdict(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | threads,
        )

    def read_answer(self) -> dict[str, Any] | None:
        """Returns the next answer of the process; None if the process has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, command: str) -> dict[str, Any] | None:
        """Sends a command and returns the answer; None if the process has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        return self.read_answer()

    def why_ended(self) -> str:
        """Returns why a process that does not answer has ended, in words."""
        code = self._process.wait(timeout=ENDS_SECONDS)
        if code == -KILLED:
            return "the process ended: out of memory"
        self._errors.seek(0)
        lines = self._errors.read().split("\n")
        last = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
        kind, _, said = last.partition("Error: ")  # the last line of a traceback
        return f"the process ended: {said or kind}"

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def measure(chosen: Plan, report: Callable[[str], None]) -> Iterator[list[Measured]]:
    """Yields all measurements so far, after each group of cases.

    Args:
        chosen: the cases to measure.
        report: called with a text that says what is being done.
    """
    results: list[Measured] = []
    for cases in chosen.cases:
        results = results + _take_turns(cases, chosen, results, report)
        yield results


def _take_turns(
    cases: Sequence[Case], chosen: Plan, before: Sequence[Measured], report: Callable[[str], None]
) -> list[Measured]:
    """Returns the measurements of a group of cases, which run by turns.

    Args:
        cases: the cases of the group.
        chosen: how often to measure.
        before: earlier measurements, from which the needed memory is estimated.
        report: called with a text that says what is being done.
    """
    results = {case: Measured(case) for case in cases}
    workers: dict[Case, Worker] = {}
    try:
        for case in cases:
            report(f"starting {case.label}")
            needed = expected_bytes(case, before)
            free = psutil.virtual_memory().available
            if case.device == "cpu" and needed > MEMORY_SHARE * free:
                results[case] = Measured(case, reason=_too_large(needed, free))
                continue
            workers[case] = Worker(case)
        for case, worker in list(workers.items()):
            described = worker.ask("describe") if worker.read_answer() else None
            if described is None:
                results[case] = Measured(case, reason=worker.why_ended())
                workers.pop(case).close()
            else:
                results[case] = replace(results[case], **described)
        started = time.monotonic()
        for number in range(chosen.repeats):
            if number and time.monotonic() - started > chosen.limit:
                break
            for case, worker in workers.items():
                report(f"{case.label}: round {number + 1} of {chosen.repeats}")
                _round(worker, results[case])
        for case, worker in workers.items():
            if not results[case].step:
                results[case] = replace(results[case], reason=worker.why_ended())
    finally:
        for worker in workers.values():
            worker.close()
    return list(results.values())


def _too_large(needed: float, free: float) -> str:
    """Returns why a case was not started: the memory it needs, with a margin, and the free one."""
    with_margin = needed / MEMORY_SHARE
    return (
        f"needs about {needed / 1e9:.3g} GB, {with_margin / 1e9:.3g} GB with a margin of "
        f"{100 * (1 - MEMORY_SHARE):.0f} %; {free / 1e9:.3g} GB were free"
    )


def _round(worker: Worker, result: Measured) -> None:
    """Measures one round of a case and adds it to `result`."""
    commands: list[tuple[str, list]] = [("step", result.step)]
    if result.case.side == "ours":
        commands.append(("products", result.products))
        if result.case.recipe == "tuned":
            commands.append(("image", result.image))
    for command, into in commands:
        answer = worker.ask(command)
        if answer is not None:
            into.append(answer if command == "products" else Timing(**answer))


def expected_bytes(case: Case, before: Sequence[Measured]) -> float:
    """Returns the expected memory of a plain step, from the memory per prompt measured before.

    It is 0 for our path, and if no similar case was measured before.
    """
    similar = [
        m
        for m in before
        if m.step and replace(m.case, classes=0, experts=0) == replace(case, classes=0, experts=0)
    ]
    if case.side != "plain" or not similar:
        return 0.0
    largest = max(similar, key=lambda m: m.tokens)
    return (
        largest.peak_bytes
        * case.classes
        * case.experts
        / (largest.case.classes * largest.case.experts)
    )


def machine() -> dict[str, Any]:
    """Returns a description of this machine."""
    gpu = torch.cuda.is_available()
    return {
        "processor": processor_name(),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "text_memory_gib": os.environ.get("MOCOOP_TEXT_MEMORY"),
        "torch": torch.__version__,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": time.strftime("%Y-%m-%d"),
    }


def processor_name() -> str:
    """Returns the processor's name, with its flags that matter to matrix products."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
        name = names[0] if names else ""
    except OSError:
        name = ""
    known = processor_flags()
    flags = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f") if flag in known]
    return f"{name or 'unknown processor'} ({', '.join(flags)})" if flags else name

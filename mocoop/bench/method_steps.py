"""`mocoop bench --methods`: a training step of every method, plain and ours by turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import psutil

from mocoop.bench.method_worker import MethodCase, MethodSide, step_settings
from mocoop.bench.runner import MEMORY_SHARE, Worker
from mocoop.bench.worker import Timing
from mocoop.markdown import markdown_table
from mocoop.methods import METHODS
from mocoop.presets import preset

STEP_METHODS = (
    "coop", "vpt", "ivlp", "maple", "promptsrc", "dpl", "clip-lora", "mocoop", "mocoop-v",
    "mocoop-src", "mocoop-cond",
)  # fmt: skip
"""The methods that are measured: all that learn in the image tower, the mixtures, and CoOp.

Those that learn on features of two frozen towers are left out: their steps run neither tower.
"""
SIDES: tuple[MethodSide, ...] = ("ours", "plain")
MODULE = "mocoop.bench.method_worker"
PLAIN_BYTES_PER_TEXT = 30 * 10**6
"""Memory that a plain step of ViT-B/16 needs per prompt of 77 tokens, as measured."""
SEARCH_BYTES_PER_TEXT, SEARCH_BYTES_PER_IMAGE = 90 * 10**6, 330 * 10**6
"""The same of a search, with an attention for each of six candidates: what autograd keeps, and a
tenth more."""


@dataclass(frozen=True)
class MethodMeasured:
    """The measurements of one side of one method; without steps if it was not measured."""

    case: MethodCase
    parameters: int = 0
    """Number of learned parameters."""
    texts: bool = True
    """Whether a step encodes texts; if not, they never change."""
    step: list[Timing] = field(default_factory=list)
    """Timings of training steps, one per round."""
    image: list[Timing] = field(default_factory=list)
    """Timings of the step's image side alone, forward and backward."""
    reason: str = ""
    """Why the case was not measured."""

    def cpu(self, part: str = "step") -> float:
        """Returns the median CPU seconds of `step` or `image`."""
        return median(timing.cpu_seconds for timing in getattr(self, part))

    def wall(self) -> float:
        """Returns the median wall-clock seconds of a step."""
        return median(timing.seconds for timing in self.step)

    @property
    def text(self) -> float:
        """Median CPU seconds of a step without its image side, at least 0."""
        return max(0.0, self.cpu() - self.cpu("image"))

    @property
    def peak(self) -> int:
        """Peak memory of a step above the loaded weights, in bytes."""
        return max(timing.peak_bytes for timing in self.step)


def measure_methods(
    base: MethodCase,
    methods: Sequence[str],
    rounds: int,
    limit: float,
    report: Callable[[str], None],
) -> Iterator[list[MethodMeasured]]:
    """Yields all measurements so far, after each method's training or search.

    Args:
        base: the size; side and method are replaced.
        methods: keys of methods.
        rounds: rounds of both sides; our side has one more before them, which is not counted.
        limit: seconds per method, and per search; after them no further round is started.
        report: called with a text that says what is being done.
    """
    results: list[MethodMeasured] = []
    for method in methods:
        searches = preset(method, base.backbone).searches_lengths
        for search in (False, True) if searches else (False,):
            cases = [replace(base, method=method, side=side, search=search) for side in SIDES]
            results = results + by_turns(cases, rounds, limit, report)
            yield results


def by_turns(
    cases: Sequence[MethodCase], rounds: int, limit: float, report: Callable[[str], None]
) -> list[MethodMeasured]:
    """Returns the measurements of both sides of a method, each in a process of its own."""
    results = {case: MethodMeasured(case) for case in cases}
    workers: dict[MethodCase, Worker] = {}
    try:
        for case in cases:
            needed, free = expected_memory(case), psutil.virtual_memory().available
            if needed > MEMORY_SHARE * free:
                reason = f"needs about {needed / 1e9:.0f} GB; {free / 1e9:.0f} GB were free"
                results[case] = replace(results[case], reason=reason)
                continue
            report(f"starting {case.label}")
            worker = workers[case] = Worker(case, MODULE)
            described = worker.ask("describe") if worker.read_answer() else None
            if described is None:
                results[case] = replace(results[case], reason=worker.why_ended())
                workers.pop(case).close()
                continue
            results[case] = replace(results[case], **described)
            if case.side == "ours":
                worker.ask("step")
        started = time.monotonic()
        for number in range(rounds):
            if number and time.monotonic() - started > limit:
                break
            for case, worker in workers.items():
                report(f"{case.label}: round {number + 1} of {rounds}")
                for command in ("step", "image"):
                    answer = worker.ask(command)
                    if answer is not None:
                        getattr(results[case], command).append(Timing(**answer))
        for case, worker in workers.items():
            if not results[case].image:  # the second part of a round
                results[case] = replace(results[case], step=[], reason=worker.why_ended())
    finally:
        for worker in workers.values():
            worker.close()
    return list(results.values())


def expected_memory(case: MethodCase) -> int:
    """Returns the bytes that a plain step of ViT-B/16 needs for its texts; 0 for our side.

    A step with contexts that see the image goes backwards after every image, so that it needs
    only the texts of one image's experts at once. A search also keeps its images' activations.
    """
    if case.side == "ours":
        return 0
    settings = step_settings(case)
    if case.search:
        images = max(case.batch, settings.length_batch)
        return SEARCH_BYTES_PER_TEXT * case.classes + SEARCH_BYTES_PER_IMAGE * images
    experts = case.experts if METHODS[case.method].is_mixture else 1
    at_once = settings.num_chosen if settings.conditional else experts
    return PLAIN_BYTES_PER_TEXT * case.classes * at_once


def methods_document(results: Sequence[MethodMeasured], machine: dict[str, Any]) -> dict[str, Any]:
    """Returns all measurements and the machine as a JSON document."""
    return {"machine": machine, "methods": [asdict(result) for result in results]}


def methods_table(results: Sequence[MethodMeasured]) -> str:
    """Returns the Markdown table, one row per method; a search has a row of its own."""
    heads = (
        "method", "learned parameters", "plain, CPU s", "ours, CPU s", "times faster",
        "of it images: plain", "ours", "text side, times faster", "plain, memory",
        "ours, memory", "rounds",
    )  # fmt: skip
    sides = {(one.case.method, one.case.search, one.case.side): one for one in results}
    rows: list[tuple[object, ...]] = []
    for method, search in dict.fromkeys((one.case.method, one.case.search) for one in results):
        ours, plain = (sides[method, search, side] for side in SIDES)
        name = METHODS[method].label + (", its search" if search else "")
        if not ours.step:
            rows.append((name, "–", *["–"] * 8, ours.reason))
            continue
        start = (name, f"{ours.parameters:,}")
        if not plain.step:
            rows.append((*start, plain.reason, _short(ours.cpu()), "–", "–",
                         _short(ours.cpu("image")), "–", "–", _gb(ours.peak),
                         len(ours.step)))  # fmt: skip
            continue
        faster = plain.text / ours.text if ours.texts and ours.text > 0 else None
        rows.append(
            (
                *start,
                _short(plain.cpu()),
                _short(ours.cpu()),
                f"{plain.cpu() / ours.cpu():.1f}",
                _short(plain.cpu("image")),
                _short(ours.cpu("image")),
                "–" if faster is None else f"{faster:.1f}",
                _gb(plain.peak),
                _gb(ours.peak),
                len(plain.step),
            )
        )
    return markdown_table(heads, rows, "lrrrrrrrrrr")


def methods_page(results: Sequence[MethodMeasured], machine: dict[str, Any]) -> str:
    """Returns the page of results as Markdown."""
    case = results[0].case
    threads = f"{case.threads} thread{'s' if case.threads > 1 else ''}"
    return "\n".join(
        [
            "# A training step of every method",
            "",
            "Written by `mocoop bench --methods`. One optimiser step, plain (77 tokens, one "
            "prompt after the other, autograd for everything) and ours by turns, each in its own "
            "process. Medians of CPU seconds; memory is the peak above the loaded weights. "
            "Weights are random, which does not change the cost. DPL trains with the most tokens "
            "that its search can choose; a step of the search is one of the lengths' weights, "
            "with a batch of its own, and one of the tokens.",
            "",
            f"{machine['date']}; {machine['processor']}; torch {machine['torch']}; load "
            f"{machine['load'] or 0:.1f} at the start; {case.backbone}, batch {case.batch}, "
            f"{case.classes} classes, {case.experts} experts in a mixture, fp32, {threads}.",
            "",
            methods_table(results),
            "",
        ]
    )


def _short(value: float) -> str:
    return f"{value:.3g}"


def _gb(value: int) -> str:
    return f"{value / 1e9:.2f} GB"

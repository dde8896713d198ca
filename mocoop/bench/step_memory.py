"""The peak memory of one training step of each method, for the page of results."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mocoop.bench.method_steps import by_turns
from mocoop.bench.method_worker import MethodCase
from mocoop.config import DEMO
from mocoop.methods import METHODS
from mocoop.presets import preset

ROUNDS = 2


def step_memory(
    methods: Iterable[str], classes: int, experts: int, report: Callable[[str], None]
) -> dict[str, int]:
    """Returns method → peak bytes of a training step above the loaded weights.

    Each method is measured in a process of its own with one thread, with the CLIP that comes with
    the project and the method's batches. Methods without prompts are left out, and so are those
    whose step failed. A method that searches for its numbers of tokens is measured with the most
    that the search can choose, without the search.

    Args:
        methods: keys of methods.
        classes: number of class names.
        experts: experts of a mixture.
        report: called with a text that says what is being done.
    """
    cases = [
        MethodCase("ours", method, classes, experts, preset(method).batch_size, DEMO)
        for method in methods
        if METHODS[method].learns_prompts
    ]
    measured = [one for case in cases for one in by_turns([case], ROUNDS, float("inf"), report)]
    return {one.case.method: one.peak for one in measured if one.step}

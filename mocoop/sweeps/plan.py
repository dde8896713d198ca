"""A sweep: the settings to compare, and after which epochs the worse ones are left out."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mocoop.config import TrainConfig
from mocoop.datasets import absolute_source
from mocoop.errors import UserError
from mocoop.methods import find_method
from mocoop.presets import settings_from
from mocoop.protocols.runner import run_name
from mocoop.protocols.tuning import check_comparable

Values = Mapping[str, Sequence[Any]]
"""Setting → the values to try."""
DIGITS = 3  # significant digits of random numbers, so that a table can show them in full
TRIES = 20  # draws for a candidate that is new, before a search has no more of them


@dataclass(frozen=True)
class Span:
    """A range of numbers from which a search draws."""

    lowest: float
    highest: float
    scale: str = "linear"
    """`linear`, or `log`: every factor is as likely."""
    whole: bool = False
    """Whether only whole numbers are drawn."""

    def draw(self, generator: random.Random) -> float | int:
        """Returns a number of the range, with few digits."""
        if self.scale == "log":
            value = math.exp(generator.uniform(math.log(self.lowest), math.log(self.highest)))
        else:
            value = generator.uniform(self.lowest, self.highest)
        rounded = round(value) if self.whole else float(f"{value:.{DIGITS}g}")
        return type(rounded)(min(max(rounded, self.lowest), self.highest))


@dataclass(frozen=True)
class Search:
    """Random candidates."""

    trials: int
    """Number of candidates of each method."""
    settings: Mapping[str, Span | Sequence[Any]]
    """Setting → the range or the values to draw from."""
    seed: int = 0


@dataclass(frozen=True)
class Halving:
    """Successive halving: all candidates train a few epochs, the best of them go on."""

    first: int
    """Epochs after which candidates are left out for the first time."""
    factor: int = 3
    """One in so many candidates goes on, and trains so many times as long."""


@dataclass(frozen=True)
class Candidate:
    """A method with changed settings."""

    method: str
    changes: Mapping[str, Any]

    @property
    def words(self) -> str:
        """The method and its changes as text."""
        return ", ".join((self.method, *(f"{name} {text(v)}" for name, v in self.changes.items())))


@dataclass(frozen=True)
class Sweep:
    """Candidates, each trained on every data set, number of shots and seed."""

    data: tuple[str, ...]
    methods: tuple[str, ...]
    shots: tuple[int, ...] = (16,)
    seeds: tuple[int, ...] = (1, 2, 3)
    backbone: str = "demo"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that all candidates have."""
    grid: Values = field(default_factory=dict)
    """Every combination is a candidate."""
    search: Search | None = None
    """Random candidates, instead of a grid."""
    halving: Halving | None = None
    """None trains all candidates to the end."""

    def candidates(self) -> tuple[Candidate, ...]:
        """Returns all candidates, in the same order every time; each once."""
        found: dict[tuple[str, ...], Candidate] = {}
        for method in self.methods:
            drawn = _drawn(self.search) if self.search else _combinations(self.grid)
            for changes in drawn:
                known = (method, *(f"{name}={value!r}" for name, value in changes.items()))
                found.setdefault(known, Candidate(method, changes))
        return tuple(found.values())

    def configs(self, candidate: Candidate) -> dict[tuple[str, int, int], TrainConfig]:
        """Returns (data, shots, seed) → the settings of a candidate's runs.

        Raises:
            UserError: for settings that do not fit.
        """
        named = {"method": candidate.method, "backbone": self.backbone}
        # A few images per class are too few for a choice: usually all of them judge.
        changed = {"validation": "all", **self.settings, **candidate.changes}
        return {
            (data, shots, seed): settings_from(
                named | {"data": absolute_source(data), "shots": shots, "seed": seed} | changed
            )
            for data, shots, seed in itertools.product(self.data, self.shots, self.seeds)
        }

    def rungs(self) -> tuple[int, ...]:
        """Returns the epochs after which candidates are compared; the last are all epochs."""
        longest = max(config.epochs for c in self.candidates() for config in self._some(c))
        if self.halving is None:
            return (longest,)
        rungs, epoch = [], self.halving.first
        while epoch < longest:
            rungs.append(epoch)
            epoch *= self.halving.factor
        return (*rungs, longest)

    def _some(self, candidate: Candidate) -> list[TrainConfig]:
        return list(self.configs(candidate).values())

    def kept(self, number: int) -> int:
        """Returns how many of a number of candidates go on to the next rung."""
        assert self.halving is not None
        return max(1, math.ceil(number / self.halving.factor))


def check(sweep: Sweep) -> None:
    """Raises UserError for a sweep that could not be trained, or would not be fair."""
    check_comparable((*sweep.grid, *(sweep.search.settings if sweep.search else ())))
    for method in sweep.methods:
        record = find_method(method)
        if not (record.learns_in_epochs and record.learns_prompts):
            raise UserError(
                f"{method} does not learn prompts in epochs, so it cannot be paused. "
                "Sweep a method that does, such as mocoop; `mocoop tune` compares settings of "
                "the others."
            )
    names: dict[str, Candidate] = {}
    for candidate in sweep.candidates():
        for config in sweep.configs(candidate).values():
            if config.validation == "train":
                raise UserError(
                    "With validation train there are no validation images to choose on. Use few "
                    "or all."
                )
            if not config.epochs:
                raise UserError("epochs is 0, so there is nothing to compare. Give at least 1.")
            other = names.setdefault(run_name(config), candidate)
            if other is not candidate:
                raise UserError(
                    f"{candidate.words!r} and {other.words!r} are the same settings: leave one "
                    "out."
                )


def check_data(sweep: Sweep) -> None:
    """Raises UserError for data without validation images of their own."""
    from mocoop.datasets import load_dataset

    for name in sweep.data:
        dataset = load_dataset(name)
        if not dataset.items("val"):
            raise UserError(
                f"{dataset.name} has no validation images to choose on. Add a folder val/."
            )
        if dataset.val_is_test:
            raise UserError(
                f"The validation images of {dataset.name} are its test images: settings chosen on "
                "them would be chosen on the test. Choose them on another data set."
            )


def text(value: Any) -> str:
    """Returns a setting's value as a short text."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _combinations(grid: Values) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _drawn(search: Search) -> list[dict[str, Any]]:
    """Returns different random settings; the same ones for every method."""
    generator = random.Random(search.seed)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(search.trials * TRIES):
        if len(found) == search.trials:
            break
        changes = {
            name: values.draw(generator) if isinstance(values, Span) else generator.choice(values)
            for name, values in search.settings.items()
        }
        found.setdefault(repr(changes), changes)
    return list(found.values())

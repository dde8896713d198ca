"""Reads a sweep from a YAML file; every mistake is told with its line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from mocoop.config import TrainConfig
from mocoop.errors import UserError, choose_from
from mocoop.methods import find_method
from mocoop.protocols.tuning import check_comparable
from mocoop.shots import ALL, ALL_SHOTS
from mocoop.sweeps.plan import Halving, Search, Span, Sweep, check
from mocoop.user_yaml import read_yaml

KEYS = ("data", "methods", "shots", "seeds", "backbone", "settings", "grid", "search", "halving")
OWN_KEYS = {"data": "data", "method": "methods", "shots": "shots", "seed": "seeds",
            "backbone": "backbone"}  # fmt: skip
"""Settings of a run that are keys of the whole sweep."""
MOST_RUNS = 100_000
Path_ = tuple[str, ...]


def read_sweep(file: Path) -> Sweep:
    """Returns the sweep in a YAML file, checked.

    Raises:
        UserError: for a file that cannot be read, unknown keys, values of the wrong kind, an
            empty grid, or settings that do not fit the method; with the line where it is known.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"Sweep {file} cannot be read: {error.strerror or error}.") from error
    try:
        values = read_yaml(content)
    except UserError as error:
        raise UserError(f"Sweep {file} cannot be read: {error}.") from error
    lines = _lines(yaml.compose(content.decode("utf-8-sig"), yaml.SafeLoader))
    return _Reader(file.name, lines).sweep(values)


class _Reader:
    """Reads the values of a sweep and knows the line of each key.

    Args:
        name: what messages call the file.
        lines: the line of every key.
    """

    def __init__(self, name: str, lines: Mapping[Path_, int]) -> None:
        self._name = name
        self._lines = lines
        self._known = {field.name: field for field in fields(TrainConfig)}

    def sweep(self, values: Any) -> Sweep:
        """Returns the sweep of the whole file."""
        top = self._mapping((), values, KEYS)
        if ("grid" in top) == ("search" in top):
            raise self._error(
                (), "expected either a grid (every combination) or a search (random candidates)"
            )
        sweep = Sweep(
            self._texts("data", top),
            self._methods(top),
            self._shots(top),
            self._numbers("seeds", top, (1, 2, 3)),
            self._texts("backbone", top, ("demo",))[0],
            self._settings(top.get("settings", {})),
            self._grid(("grid",), top.get("grid", {})) if "grid" in top else {},
            self._search(top["search"]) if "search" in top else None,
            self._halving(top["halving"]) if "halving" in top else None,
        )
        twice = sorted(set(sweep.settings) & {*sweep.grid, *(_searched(sweep.search))})
        if twice:
            raise self._error(("settings", twice[0]), f"{twice[0]} is varied too: give it once")
        self._check_size(sweep)
        self._check_settings(sweep)
        return sweep

    def _check_size(self, sweep: Sweep) -> None:
        """Raises UserError for more runs than anyone could mean."""
        number = sweep.search.trials if sweep.search else 1
        for choices in sweep.grid.values():
            number *= len(choices)
        for repeated in (sweep.methods, sweep.data, sweep.shots, sweep.seeds):
            number *= len(repeated)
        if number > MOST_RUNS:
            where = ("search", "trials") if sweep.search else ("grid",)
            raise self._error(where, f"{number:,} trainings; expected at most {MOST_RUNS:,}")

    def _check_settings(self, sweep: Sweep) -> None:
        """Raises UserError for candidates whose settings do not fit, with the line of a key."""
        try:
            for candidate in sweep.candidates():
                try:
                    sweep.configs(candidate)
                except UserError as error:
                    where = self._named_in(str(error), candidate.changes, sweep.settings)
                    raise self._error(where, f"{candidate.words}: {error}") from error
            check(sweep)
        except UserError as error:
            if str(error).startswith(self._name):
                raise
            raise self._error(("methods",), str(error)) from error

    def _named_in(self, message: str, changes: Mapping[str, Any], settings: Any) -> Path_:
        """Returns the key of the file that an error message is about."""
        varied = ("search", "settings") if ("search", "settings") in self._lines else ("grid",)
        paths = [(*varied, name) for name in changes] + [("settings", name) for name in settings]
        named = [path for path in paths if path[-1] in message.replace("'", " ").split()]
        return (named or [*paths, ("methods",)])[0]

    def _methods(self, top: Mapping[str, Any]) -> tuple[str, ...]:
        methods = self._texts("methods", top)
        for method in methods:
            try:
                find_method(method)
            except UserError as error:
                raise self._error(("methods",), str(error)) from error
        return methods

    def _shots(self, top: Mapping[str, Any]) -> tuple[int, ...]:
        given = {"shots": _several(top["shots"])} if "shots" in top else {}
        numbers = {key: [ALL_SHOTS if v == ALL else v for v in values]
                   for key, values in given.items()}  # fmt: skip
        return self._numbers("shots", numbers, (16,))

    def _settings(self, values: Any) -> dict[str, Any]:
        where = ("settings",)
        return {
            name: self._value((*where, name), name, value)
            for name, value in self._settings_in(where, values).items()
        }

    def _grid(self, where: Path_, values: Any) -> dict[str, tuple[Any, ...]]:
        grid = {
            name: self._choices((*where, name), name, choices)
            for name, choices in self._varied(where, values).items()
        }
        if not grid:
            raise self._error(where, "the grid is empty: give a setting with the values to try")
        return grid

    def _choices(self, where: Path_, name: str, given: Any) -> tuple[Any, ...]:
        """Returns the values of a setting that are to be tried."""
        is_list = isinstance(self._known[name].default, tuple)
        several = given if isinstance(given, list) else [given]
        if is_list and not all(isinstance(value, list) for value in several):
            raise self._error(where, f"{name} is a list of numbers: give a list of such lists")
        if not several:
            raise self._error(where, f"{name} has no value to try")
        values = tuple(self._value(where, name, value) for value in several)
        if len({repr(value) for value in values}) < len(values):
            raise self._error(where, f"{name} has the same value twice")
        return values

    def _search(self, values: Any) -> Search:
        given = self._mapping(("search",), values, ("trials", "seed", "settings"))
        where = ("search", "settings")
        drawn: dict[str, Any] = {}
        for name, value in self._varied(where, given.get("settings")).items():
            is_span = isinstance(value, dict)
            read = self._span if is_span else self._choices
            drawn[name] = read((*where, name), name, value)
        if not drawn:
            raise self._error(("search",), "settings is empty: give a setting and its range")
        trials = self._number(("search", "trials"), given.get("trials"), 1)
        return Search(trials, drawn, self._number(("search", "seed"), given.get("seed", 0), 0))

    def _span(self, where: Path_, name: str, value: Any) -> Span:
        given = self._mapping(where, value, ("from", "to", "scale"))
        ends = [self._value(where, name, given.get(key)) for key in ("from", "to")]
        scale = given.get("scale", "linear")
        if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
            raise self._error(where, f"{name} is no number: give a list of values")
        if scale not in ("linear", "log"):
            raise self._error(where, str(choose_from("scale", scale, ("linear", "log"))))
        if not -math.inf < ends[0] < ends[1] < math.inf or (scale == "log" and ends[0] <= 0):
            needed = "numbers, from less than to" + (", both above 0" if scale == "log" else "")
            raise self._error(where, f"expected {needed}; got {ends[0]} and {ends[1]}")
        return Span(ends[0], ends[1], scale, isinstance(ends[0], int))

    def _halving(self, values: Any) -> Halving:
        given = self._mapping(("halving",), values, ("first", "factor"))
        first = self._number(("halving", "first"), given.get("first"), 1)
        return Halving(first, self._number(("halving", "factor"), given.get("factor", 3), 2))

    def _settings_in(self, where: Path_, values: Any) -> dict[str, Any]:
        """Returns a mapping whose keys are settings of a run."""
        given = self._mapping(
            where, {} if values is None else values, tuple(self._known), "setting"
        )
        for name in given:
            if name in OWN_KEYS:
                raise self._error((*where, name), f"give {OWN_KEYS[name]} at the top of the file")
        return given

    def _varied(self, where: Path_, values: Any) -> dict[str, Any]:
        """Returns settings that are varied, and whose validation accuracies can be compared."""
        given = self._settings_in(where, values)
        for name in given:
            try:
                check_comparable([name])
            except UserError as error:
                raise self._error((*where, name), str(error)) from error
        return given

    def _value(self, where: Path_, name: str, value: Any) -> Any:
        """Returns a setting's value in its type; YAML takes 1e-3, without a point, for a text."""
        default = self._known[name].default
        if isinstance(default, float) and isinstance(value, int | str):
            try:
                return value if isinstance(value, bool) else float(value)
            except ValueError:
                return value
        if isinstance(default, tuple) and isinstance(value, list):
            return tuple(value)
        if value is None:
            raise self._error(where, f"{name} has no value")
        return value

    def _texts(
        self, key: str, top: Mapping[str, Any], default: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Returns one or more texts."""
        values = _several(top[key]) if key in top else default
        if not values:
            raise self._error((key,) if key in top else (), f"{key} is missing or empty")
        if not all(isinstance(value, str) for value in values) or len(set(values)) < len(values):
            raise self._error((key,), f"{key}: expected different texts; got {list(values)}")
        return tuple(values)

    def _numbers(
        self, key: str, top: Mapping[str, Any], default: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Returns one or more whole numbers."""
        values = _several(top[key]) if key in top else default
        if not values:
            raise self._error((key,), f"{key} is empty")
        if any(type(value) is not int for value in values) or len(set(values)) < len(values):
            raise self._error((key,), f"{key}: expected different whole numbers; got {values}")
        return tuple(values)

    def _number(self, where: Path_, value: Any, least: int) -> int:
        if type(value) is not int or value < least:
            known = where if where in self._lines else where[:-1]
            raise self._error(
                known, f"{where[-1]}: expected a whole number of at least {least}; got {value}"
            )
        return value

    def _mapping(
        self, where: Path_, value: Any, known: Sequence[str], kind: str = "key"
    ) -> dict[str, Any]:
        """Returns a mapping with known keys only."""
        if not isinstance(value, dict):
            what = where[-1] if where else "the file"
            raise self._error(where, f"{what}: expected keys with values; got {value!r}")
        for key in value:
            if key not in known:
                raise self._error((*where, str(key)), str(choose_from(kind, key, known)))
        return value

    def _error(self, where: Path_, message: str) -> UserError:
        """Returns the error with the file and the line of a key."""
        line = self._lines.get(where)
        place = f"{self._name}, line {line}" if line else self._name
        return UserError(f"{place}: {message.rstrip('.')}.")


def _several(value: Any) -> list[Any]:
    """Returns a list; a single value is a list of one."""
    return value if isinstance(value, list) else [value]


def _searched(search: Search | None) -> Sequence[str]:
    return () if search is None else tuple(search.settings)


def _lines(node: yaml.Node | None, where: Path_ = ()) -> dict[Path_, int]:
    """Returns the line, from 1, of every key of nested mappings."""
    found: dict[Path_, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*where, str(key.value))
            found[path] = key.start_mark.line + 1
            found |= _lines(value, path)
    return found

"""Kills processes that write files, at random moments, and looks at what is left.

python -m tests.torture --seed 1 --kills 200 --minutes 20

The exit code is 1 if anything was found. Every number depends on the seed alone, but a kill hits
where the machine happens to be at that moment.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import torch

from app.jobs.standby_worker import MODULES
from mocoop.slow_imports import import_slow
from tests.torture.app_server import CHROMIUM, AppServer, BrowserTab
from tests.torture.faults import faults
from tests.torture.fetching import ClipDownload, SetDownload
from tests.torture.files import Export, Extraction, Import, MapMaker, Pack
from tests.torture.jobs import AppImport, Federation, SweepOfSettings
from tests.torture.runs import LabGrid, ParallelProtocol, Protocol, Training
from tests.torture.victim import Victim

WEIGHTS: dict[type[Victim], int] = {
    Training: 6,
    Extraction: 4,
    Protocol: 4,
    ParallelProtocol: 1,
    LabGrid: 2,
    Export: 4,
    Pack: 3,
    Import: 3,
    MapMaker: 2,
    Federation: 3,
    SweepOfSettings: 3,
    AppImport: 2,
    ClipDownload: 3,
    SetDownload: 3,
    AppServer: 1,
    BrowserTab: 1,
}
"""How often each victim is killed, relative to the others."""
SHOWN = 6  # places that a row of the table names


@dataclass
class Tally:
    """What the kills of one victim have hit and found."""

    kills: int = 0
    late: int = 0
    """Attempts in which the work ended before the kill."""
    places: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)

    def row(self, name: str) -> str:
        """Returns a row of the table."""
        hit = ", ".join(f"{place} {count}" for place, count in self.places.most_common(SHOWN))
        more = f", {len(self.places) - SHOWN} other places" if len(self.places) > SHOWN else ""
        found = "; ".join(f"{what} ({n})" for what, n in self.problems.items()) or "nothing"
        return f"| {name} | {self.kills} | {hit}{more} | {found} |"


def torture(
    kinds: Sequence[type[Victim]], seed: int, kills: int, minutes: float, root: Path
) -> dict[str, Tally]:
    """Returns what was found, by the names of victims.

    Args:
        kinds: the victims.
        seed: of the moments and of the order of victims.
        kills: number of kills in all.
        minutes: after which no further kill is begun.
        root: an empty folder.
    """
    dice = random.Random(seed)
    end = time.monotonic() + 60 * minutes
    victims = [kind(root, root / "cache") for kind in kinds]
    tallies = {victim.name: Tally() for victim in victims}
    measured: set[str] = set()
    weights = [WEIGHTS.get(type(victim), 1) for victim in victims]
    number = 0
    try:
        while sum(tally.kills for tally in tallies.values()) < kills:
            if time.monotonic() > end or number > 4 * kills + 20:
                break
            (victim,) = dice.choices(victims, weights)
            if victim.name not in measured:
                victim.measure()
                measured.add(victim.name)
                print(f"{victim.name}: {victim.seconds:.1f} s undisturbed", flush=True)
            result = victim.attempt(dice, number)
            number += 1
            tally = tallies[victim.name]
            if not result.where:
                tally.late += 1
                continue
            tally.kills += 1
            tally.places[result.where] += 1
            tally.problems.update(result.problems)
            told = "; ".join(result.problems) or "nothing found"
            print(f"{number}. {victim.name}, {result.where}: {told}", flush=True)
    finally:
        for victim in victims:
            victim.close()
    return tallies


def table(tallies: dict[str, Tally]) -> str:
    """Returns a table of what was killed how often, where the kills hit, and what was found."""
    rows = [tally.row(name) for name, tally in tallies.items() if tally.kills]
    return "\n".join(["| killed | times | where | found |", "|---|---:|---|---|", *rows])


def main() -> int:
    """Prints a table; returns 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--no-faults", action="store_true", help="only kills")
    parser.add_argument("--only", nargs="*", default=[], help="names of victims; all by default")
    asked = parser.parse_args()
    torch.set_num_threads(1)  # a process with more threads must not be forked
    import_slow([*MODULES, "mocoop.cli.protocols", "mocoop.classifiers.export", "onnxscript"])
    kinds = [kind for kind in WEIGHTS if not asked.only or kind.name in asked.only]
    if not Path(CHROMIUM).exists() or find_spec("playwright") is None:
        kinds = [kind for kind in kinds if not issubclass(kind, AppServer)]
        print("no browser: the app's server and a tab are not killed")
    with tempfile.TemporaryDirectory(prefix="mocoop-torture-") as folder:
        tallies = torture(kinds, asked.seed, asked.kills, asked.minutes, Path(folder))
        tried = {} if asked.no_faults else faults(Path(folder))
    print(table(tallies))
    print(fault_table(tried))
    return int(any(tally.problems for tally in tallies.values()) or any(tried.values()))


def fault_table(tried: Mapping[str, list[str] | None]) -> str:
    """Returns a table of the faults that are no kills, and what was found."""
    words = {
        name: "cannot be tried here" if found is None else "; ".join(found) or "nothing"
        for name, found in tried.items()
    }
    rows = [f"| {name} | {found} |" for name, found in words.items()]
    return "\n".join(["| fault | found |", "|---|---|", *rows])


if __name__ == "__main__":
    sys.exit(main())

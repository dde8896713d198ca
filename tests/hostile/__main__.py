"""Gives hostile input to everything that reads input from others, and looks at what it does.

python -m tests.hostile --seed 1 --inputs 2000 --minutes 20

Each batch is read in a process whose memory is limited; each input has a limited time. The exit
code is 1 if a traceback, a file outside, a path of the server in a message, or a limit was found.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from mocoop.errors import UserError
from tests.hostile.targets import TARGETS, Target

BATCH = 40  # inputs that one process reads
MEMORY = 2 << 30  # bytes that a process may take beside what it has at its start
SECONDS = 60  # for one input; a page on a busy machine is the slowest
CANARY = "canary.txt"


class TooSlowError(Exception):
    """An input took longer than it may."""


@dataclass
class Tally:
    """What became of the inputs of one target."""

    inputs: int = 0
    taken: int = 0
    refused: int = 0
    slowest: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)

    def row(self, name: str) -> str:
        """Returns a row of the table."""
        found = "; ".join(f"{what} ({n})" for what, n in self.problems.items()) or "nothing"
        return (
            f"| {name} | {self.inputs} | {self.taken} | {self.refused} | {self.slowest:.1f} s | "
            f"{found} |"
        )


def read_batch(kind: type[Target], root: Path, seed: str, count: int, tell: Connection) -> None:
    """Reads some inputs and sends, for each, what became of it; a killed process sends less."""
    limit_memory()
    signal.signal(signal.SIGALRM, _too_slow)
    target = kind(root / "inside" / kind.__name__)
    for number in range(count):
        dice = random.Random(f"{seed} {number}")
        began = time.monotonic()
        signal.alarm(SECONDS)
        said, problem = "", ""
        try:
            said = target.give(dice)
        except UserError as error:
            said = str(error) or "nothing"
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            problem = (
                f"{type(error).__name__} in {where}: {str(error)[:150]}, input {seed} {number}"
            )
        finally:
            signal.alarm(0)
        if said and not target.tells_paths and str(root) in said:
            problem = (
                f"a message names a folder of the server: {said[:200]}, input {seed} {number}"
            )
        tell.send((said != "", problem, time.monotonic() - began))
    os._exit(0)


def limit_memory() -> None:
    """Bounds what this process can take from now on."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _too_slow(*_: object) -> None:
    raise TooSlowError(f"longer than {SECONDS} s")


def outside(root: Path) -> set[str]:
    """Returns the files beside the folder that targets may write to."""
    own = {path for path in root.rglob("*") if not path.is_relative_to(root / "inside")}
    return {str(path) for path in own} | {
        str(path) for path in (Path("/tmp/evil.png"), root.parent / "evil.png") if path.exists()
    }


def hostile(seed: int, inputs: int, minutes: float, root: Path) -> dict[str, Tally]:
    """Returns what was found, by the names of targets.

    Args:
        seed: of all inputs.
        inputs: how many in all.
        minutes: after which no further batch is begun.
        root: an empty folder.
    """
    end = time.monotonic() + 60 * minutes
    (root / CANARY).write_text("whole")
    (root / "inside").mkdir()
    before = outside(root)
    tallies = {kind.name: Tally() for kind in TARGETS}
    shares = sum(kind.share for kind in TARGETS)
    left = {kind: max(1, round(inputs * kind.share / shares)) for kind in TARGETS}
    number = 0
    while any(left.values()) and time.monotonic() < end:
        for kind in TARGETS:
            count = min(BATCH, left[kind])
            if count == 0:
                continue
            left[kind] -= count
            number += 1
            tally = tallies[kind.name]
            _batch(kind, root, f"{seed}-{kind.__name__}-{number}", count, tally)
            if outside(root) != before:
                tally.problems[f"written outside: {sorted(outside(root) ^ before)}"] += 1
            print(f"{kind.name}: {tally.inputs} inputs, {sum(tally.problems.values())} found",
                  flush=True)  # fmt: skip
    return tallies


def _batch(kind: type[Target], root: Path, seed: str, count: int, tally: Tally) -> None:
    mine, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=read_batch, args=(kind, root, seed, count, theirs)
    )
    process.start()
    theirs.close()
    done = 0
    try:
        while done < count:
            refused, problem, seconds = mine.recv()
            done += 1
            tally.inputs += 1
            tally.refused += bool(refused)
            tally.taken += not refused and not problem
            tally.slowest = max(tally.slowest, seconds)
            if problem:
                tally.problems[problem] += 1
    except EOFError:
        tally.problems[f"the process ended at input {seed} {done}"] += 1
    process.join()


def table(tallies: dict[str, Tally]) -> str:
    """Returns a table of what was given, and what became of it."""
    head = "| input | tried | taken | refused in words | slowest | found |"
    return "\n".join(
        [
            head,
            "|---|---:|---:|---:|---:|---|",
            *(tally.row(name) for name, tally in tallies.items()),
        ]
    )


def main() -> int:
    """Prints a table; returns 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mocoop-hostile-") as folder:
        for name in ("RUNS", "DATA", "CACHE"):
            os.environ[f"MOCOOP_{name}"] = str(Path(folder) / "inside" / name.lower())
        os.environ["MOCOOP_STANDBY"] = "0"
        tallies = hostile(asked.seed, asked.inputs, asked.minutes, Path(folder))
    print(table(tallies))
    return int(any(tally.problems for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())

"""The journal of a sweep: what was trained and decided, a line of JSON each.

runs/sweeps/NAME/sweep.json      the candidates, the rungs and the settings
runs/sweeps/NAME/journal.jsonl   `run`: what a training reached; `decision`: who goes on
runs/sweeps/NAME/runs/           the runs
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mocoop.errors import UserError
from mocoop.runs.paths import SWEEPS, default_runs
from mocoop.storage.atomic import lock_file, write_json, write_text
from mocoop.storage.formats import KEY, check_format
from mocoop.storage.typed_json import decode
from mocoop.sweeps.plan import Sweep
from mocoop.sweeps.training import Reached

PLAN, JOURNAL, RUNS = "sweep.json", "journal.jsonl", "runs"
FORMAT = 1
LOOK_SECONDS = 0.5  # longer than a look at the lock takes
BEGIN, RUN, DECISION, CHOSEN = "begin", "run", "decision", "chosen"


@dataclass(frozen=True)
class Progress:
    """How far a sweep is, from its journal alone."""

    name: str
    candidates: int
    left: int
    """Candidates that are not left out."""
    done: int
    """Epochs that are trained."""
    total: int
    """Epochs that all trainings have together, with those of candidates that go on."""
    best: str = ""
    """The best candidate so far, in words; empty before the first decision."""
    accuracy: float = 0.0
    """Its validation accuracy."""
    finished: bool = False
    seconds_left: float | None = None
    """None before anything is trained in this start of the sweep."""


class Journal:
    """Reads and writes the journal of a sweep.

    Args:
        folder: the sweep's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / JOURNAL

    @property
    def runs(self) -> Path:
        """The folder of the runs."""
        return self.folder / RUNS

    def begin(self, sweep: Sweep, total: int, made_from: str = "") -> None:
        """Writes what the sweep compares, or checks that the folder is of the same sweep.

        Args:
            sweep: the sweep.
            total: the epochs of all its trainings.
            made_from: a key of the CLIP, the data and the templates.

        Raises:
            UserError: if the folder holds another sweep, one of other data, or other files.
        """
        plan = {
            KEY: FORMAT,
            "candidates": [candidate.words for candidate in sweep.candidates()],
            "rungs": list(sweep.rungs()),
            "epochs": total,
            "sweep": json.loads(json.dumps(asdict(sweep))),
        }
        file = self.folder / PLAN
        if file.exists():
            saved = _plan(file)
            before = saved.pop("made_from", made_from)  # sweeps of earlier versions lack it
            if saved != plan:
                raise UserError(
                    f"{self.folder} holds a sweep with other settings. Choose another --folder, "
                    "or delete that one."
                )
            if before != made_from:
                raise UserError(
                    f"The CLIP, the images or the templates have changed since the sweep in "
                    f"{self.folder} began: its accuracies cannot be compared with new ones. "
                    "Choose another --folder, or delete that one."
                )
        else:
            if self.folder.exists() and any(self.folder.iterdir()):
                raise UserError(
                    f"{self.folder} is not empty, and no sweep. Choose another folder."
                )
            write_json(file, plan | {"made_from": made_from})
        entries = self.entries()  # a line that a killed process wrote in part is dropped
        write_text(self._file, "".join(json.dumps(entry) + "\n" for entry in entries))
        self._add({"kind": BEGIN})

    def entries(self) -> list[dict[str, Any]]:
        """Returns all whole entries, in the order in which they were written."""
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [decode(line.encode(), dict[str, Any]) for line in lines if line.endswith("\n")]

    def reached(self) -> dict[tuple[str, int], Reached]:
        """Returns (name of a run, epoch) → what it reached there."""
        return {
            (entry["run"], entry["epoch"]): Reached(
                entry["accuracy"], entry["seconds"], entry["diverged"]
            )
            for entry in self.entries()
            if entry["kind"] == RUN
        }

    def add_run(self, run: str, epochs: int, epoch: int, reached: Reached) -> None:
        """Adds what a training reached.

        Args:
            run: the run's name.
            epochs: the epochs that it was trained for.
            epoch: the epoch after which it is paused.
            reached: what it reached.
        """
        self._add(
            {"kind": RUN, "run": run, "epochs": epochs, "epoch": epoch}
            | {"accuracy": reached.accuracy, "seconds": reached.seconds}
            | {"diverged": reached.diverged}
        )

    def add_decision(self, epoch: int, means: Mapping[str, float], kept: list[str]) -> None:
        """Adds who goes on after an epoch; a decision that is there already is not repeated.

        Args:
            epoch: the epochs after which the candidates were compared.
            means: candidate in words → mean validation accuracy.
            kept: the candidates that go on, best first.
        """
        decision = {"kind": DECISION, "epoch": epoch, "means": dict(means), "kept": kept}
        known = [entry for entry in self.entries() if entry["kind"] == DECISION]
        if all({k: v for k, v in entry.items() if k != "time"} != decision for entry in known):
            self._add(decision)

    def add_chosen(self, candidate: str, runs: list[str]) -> None:
        """Adds the candidate that was chosen and tested."""
        if not any(entry["kind"] == CHOSEN for entry in self.entries()):
            self._add({"kind": CHOSEN, "candidate": candidate, "runs": runs})

    def progress(self) -> Progress:
        """Returns how far the sweep is.

        Raises:
            UserError: if the folder holds no sweep that can be read.
        """
        plan, entries = _plan(self.folder / PLAN), self.entries()
        done, rate = 0, None
        left, best, accuracy = len(plan["candidates"]), "", 0.0
        since = (0.0, 0)  # when the sweep was last started, and epochs done by then
        for entry in entries:
            match entry["kind"]:
                case "begin":
                    since, rate = (entry["time"], done), None
                case "run":
                    done += entry["epochs"]
                    spent = entry["time"] - since[0]
                    rate = (done - since[1]) / spent if spent > 0 else None
                case "decision":
                    left = len(entry["kept"])
                    best = entry["kept"][0]
                    accuracy = entry["means"][best]
        total = max(plan["epochs"], done)
        finished = any(entry["kind"] == CHOSEN for entry in entries)
        return Progress(
            self.folder.name,
            len(plan["candidates"]),
            left,
            done,
            total,
            best,
            accuracy,
            finished,
            None if not rate or finished else (total - done) / rate,
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the sweep's lock, so that no second command trains the same runs.

        Raises:
            UserError: if another command holds it.
        """
        # Whoever looks whether a command runs (`running`) holds the lock for a moment too.
        lock = FileLock(lock_file(self._file), timeout=LOOK_SECONDS)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(
                f"Another command runs the sweep in {self.folder}. Wait for it, or stop it."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def running(self) -> bool:
        """Returns whether a command of this machine runs the sweep now."""
        lock = FileLock(lock_file(self._file), timeout=0)
        try:
            with lock:
                return False
        except Timeout:
            return True

    def _add(self, entry: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry | {"time": time.time()}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def sweeps(root: Path | None = None) -> list[Journal]:
    """Returns the sweeps in a folder, by name; by default those in the folder of runs."""
    folder = root or default_runs() / SWEEPS
    return [Journal(path.parent) for path in sorted(folder.glob(f"*/{PLAN}"))]


def _plan(file: Path) -> dict[str, Any]:
    """Returns what a sweep compares.

    Raises:
        UserError: if the file cannot be read, or a newer version wrote it.
    """
    try:
        plan = decode(file.read_bytes(), dict[str, Any])
    except (OSError, UserError) as error:
        raise UserError(f"{file} cannot be read ({error}). Start the sweep anew.") from error
    check_format(plan, FORMAT, file, "Sweep")
    return plan

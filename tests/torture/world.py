"""Folders, processes and checks that all victims share.

A victim's process is forked from a parent that has imported everything already: it starts in
milliseconds, so that a kill costs hardly more than the work it destroys.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from safetensors.torch import load_file
from torch import equal

from mocoop.runs.queue import is_busy
from mocoop.runs.run import Run, damaged_runs, list_runs
from mocoop.storage.atomic import lock_file

Work = Callable[[], object]
FORK = multiprocessing.get_context("fork")
PATIENCE = 120.0  # seconds until a repeated piece of work counts as hanging
ORPHAN_SECONDS = 15.0  # torch's decoding processes look for their parent every five seconds
KEPT_HIDDEN = (".locks", ".mocoop")  # the hub's own locks; what belongs to a data set


@dataclass(frozen=True)
class World:
    """The folders of one attempt: those of runs, data and caches, and one for anything else."""

    root: Path

    @classmethod
    def new(cls, root: Path) -> World:
        """Returns a world whose folders are empty."""
        shutil.rmtree(root, ignore_errors=True)
        for name in ("runs", "data", "cache", "out", "hub"):
            (root / name).mkdir(parents=True)
        return cls(root)

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def log(self) -> Path:
        """What the processes of the attempt printed."""
        return self.root / "log.txt"

    def variables(self, cache: Path | None = None) -> dict[str, str]:
        """Returns the environment variables that lead into these folders.

        Args:
            cache: another cache, which attempts share so that no image is encoded twice.
        """
        return {
            "MOCOOP_RUNS": str(self.runs),
            "MOCOOP_DATA": str(self.data),
            "MOCOOP_CACHE": str(cache or self.cache),
            "MOCOOP_STANDBY": "0",
        }


@contextmanager
def environment(changes: dict[str, str]) -> Iterator[None]:
    """Sets environment variables while the block runs."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def forked(work: Work, log: Path) -> multiprocessing.process.BaseProcess:
    """Returns a new process, in a session of its own, that does some work and prints into a log.

    Its exit code is 0, or 1 after an error; the error's traceback is in the log.
    """
    process = FORK.Process(target=_child, args=(work, log))
    process.start()
    return process


def _child(work: Work, log: Path) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        raise SystemExit(1) from None
    sys.stdout.flush()
    raise SystemExit(code if isinstance(code, int) else 0)


def finished_in_time(work: Work, log: Path, patience: float = PATIENCE) -> str:
    """Does some work in a process; returns what went wrong, empty if nothing did."""
    process = forked(work, log)
    process.join(patience)
    if process.is_alive():
        process.kill()
        process.join()
        return f"the repeated work did not end within {patience:g} seconds"
    if process.exitcode:
        lines = log.read_text(errors="replace").strip().splitlines()
        return f"the repeated work ended with {process.exitcode}: {' | '.join(lines[-2:])[:300]}"
    return ""


def orphans(session: int, seconds: float = ORPHAN_SECONDS) -> list[str]:
    """Returns the processes of a session whose leader was killed, if they do not end in time.

    They are killed then, so that they do not disturb what follows.
    """
    end = time.monotonic() + seconds
    while found := _of_session(session):
        if time.monotonic() > end:
            names = [f"an orphan process remains: {_name(process)}" for process in found]
            for process in found:
                with suppress(psutil.Error):
                    process.kill()
            return names
        time.sleep(0.1)
    return []


def _of_session(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[-120:]
    return str(process.pid)


def leftovers(*folders: Path) -> list[str]:
    """Returns the temporary files and folders that are still in some folders."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.name
            hidden = name.startswith(".") and not name.startswith(KEPT_HIDDEN)
            if hidden or name.endswith((".incomplete", ".part", ".extracted")):
                found.append(f"a temporary file remains: {path.relative_to(folder)}")
    return found


def held_locks(*folders: Path) -> list[str]:
    """Returns the folders whose lock somebody still holds."""
    found = []
    for folder in folders:
        try:
            with FileLock(lock_file(folder), timeout=1):
                pass
        except Timeout:
            found.append(f"the lock of {folder.name} is still held")
    return found


def store_problems(runs: Path) -> list[str]:
    """Returns what is wrong with a folder of runs in which nothing should run any more."""
    damaged = [f"damaged: {why}" for why in damaged_runs([runs]).values()]
    if is_busy(runs):
        damaged.append("the queue does not move on: a run counts as running or waiting")
    for run in list_runs([runs]):
        if run.status().state == "finished":
            damaged += unfinished_parts(run)
    return damaged


def unfinished_parts(run: Run) -> list[str]:
    """Returns what a run lacks that says that it is finished."""
    from mocoop.runs.validate import check_run

    try:
        check_run(run.path, run.name)
    except Exception as error:
        return [f"{run.name} looks finished and is not: {error}"]
    return []


def run_differences(one: Run, other: Run) -> list[str]:
    """Returns in what two finished runs differ, apart from the time that they took."""
    found = []
    for name in ("weights.safetensors", "features.safetensors"):
        first, second = load_file(one.path / name), load_file(other.path / name)
        unlike = first.keys() ^ second.keys()
        unlike |= {
            key for key in first.keys() & second.keys() if not equal(first[key], second[key])
        }
        if unlike:
            found.append(f"{name} differs in {', '.join(sorted(unlike)[:3])}")
    if [r | {"seconds": 0} for r in one.records()] != [
        r | {"seconds": 0} for r in other.records()
    ]:
        found.append("the records differ")
    timeless = {"training_seconds": 0.0}
    if one.results() | timeless != other.results() | timeless:
        found.append("the results differ")
    return found


def file_differences(
    one: Path, other: Path, also: Callable[[str], bool] = lambda _: True
) -> list[str]:
    """Returns in what the files below two folders differ."""
    contents = []
    for folder in (one, other):
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        named = {path.relative_to(folder).as_posix(): path for path in files}
        contents.append({name: path.read_bytes() for name, path in named.items() if also(name)})
    first, second = contents
    unlike = first.keys() ^ second.keys()
    unlike |= {name for name in first.keys() & second.keys() if first[name] != second[name]}
    return [f"{name} differs from that of undisturbed work" for name in sorted(unlike)[:3]]

"""A process that is ready to train before somebody asks for a training.

Importing torch and encoding the default data set takes longer than the default training itself.
So the server keeps one process that has done both, and the next training takes it over. Nothing
here needs torch: a new server starts the process before it imports torch itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.common.access import read_only, switched_on
from app.jobs.processes import start_module
from mocoop.datasets.benchmarks import data_root
from mocoop.runs.paths import default_runs
from mocoop.runs.queue import is_busy
from mocoop.storage.cache_folder import default_cache

VARIABLE = "MOCOOP_STANDBY"


@dataclass
class Standby:
    """The process that is ready; all sessions of a server share it.

    One that has ended by itself is not replaced before the next training, so that a fault does
    not start processes over and over.
    """

    _process: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_wanted(self) -> bool:
        """Returns whether a process has to be started: there is none, and this server trains.

        Raises:
            UserError: if MOCOOP_STANDBY or MOCOOP_READ_ONLY is neither 1 nor 0.
        """
        wanted = switched_on(VARIABLE, otherwise=True) and not read_only()
        return wanted and self._process is None

    def keep_ready(self, environment: Mapping[str, str]) -> None:
        """Starts the process if there is none.

        If the system cannot start one, nothing happens: the next training says so.

        Args:
            environment: the environment variables that trainings have.
        """
        with self._lock:
            if self._process is not None:
                return
            try:
                self._process = start_module(
                    ["app.jobs.standby_worker"], environment, given=subprocess.PIPE
                )
            except OSError:
                return

    def take_over(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> int | None:
        """Gives the process a training.

        Args:
            arguments: those of `app.jobs.worker`.
            log: the file to which its output is appended.
            environment: the environment variables of the training. Those that libraries read
                while they are imported, such as OMP_NUM_THREADS, keep their value from before.

        Returns:
            Its process id; None if there is no process.
        """
        with self._lock:
            process, self._process = self._process, None
        if process is None or process.stdin is None:
            return None
        order = {"arguments": [*arguments], "log": str(log), "environment": {**environment}}
        try:
            with process.stdin as pipe:
                pipe.write(json.dumps(order).encode() + b"\n")
        except OSError:  # the process has ended
            return None
        return process.pid if process.poll() is None else None


STANDBY = Standby()


def stand_by() -> None:
    """Makes a process ready for the next training, unless one trains now: both would be slow.

    Raises:
        UserError: if MOCOOP_STANDBY or MOCOOP_READ_ONLY is neither 1 nor 0.
    """
    if STANDBY.is_wanted() and not is_busy(default_runs()):
        STANDBY.keep_ready(job_environment())


def job_environment(runs: Path | None = None) -> dict[str, str]:
    """Returns the environment of a job, or of the process that stands by for a training.

    Args:
        runs: the folder of runs; the default one if None.
    """
    # The process runs in the project's folder, so relative paths must be made absolute.
    changes = {
        "MOCOOP_RUNS": str(default_runs().resolve() if runs is None else runs),
        "MOCOOP_CACHE": str(default_cache().resolve()),
        "MOCOOP_DATA": str(data_root().resolve()),
    }
    # One core is left for server and browser. OpenMP's threads wait for each other in busy
    # loops: with one thread on every core, another process can slow an epoch from 0.4 s to 24 s.
    if "OMP_NUM_THREADS" not in os.environ:
        changes["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 2) - 1))
    return os.environ | changes

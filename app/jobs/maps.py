"""Fits slow maps in a separate process, so that no page has to wait.

`python -m app.jobs.maps RUN SETTINGS` fits a run's map and saves it where
`mocoop.analysis.projection` looks for it. Only one map is fitted at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from app.common.access import read_only
from app.jobs.processes import cannot_start, start_module
from mocoop.analysis.projection import MapSettings, is_ready, projection_of
from mocoop.errors import UserError
from mocoop.runs.run import Run, open_run
from mocoop.storage.atomic import exclusive_lock, explain_write_errors
from mocoop.storage.cache_folder import default_cache


@dataclass
class Fit:
    """A map that is being fitted, or whose fit failed."""

    process: subprocess.Popen[bytes]
    """Prints the reason of a failure to standard error."""
    reason: str = ""
    """Why the fit failed; empty until `check` has found out."""
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the fit was started."""
        return time.monotonic() - self.started

    def check(self) -> bool:
        """Returns whether the fit is finished.

        Raises:
            UserError: if the fit failed, with the last line that its process printed.
        """
        code = self.process.poll()
        if code:
            if not self.reason and self.process.stderr is not None:
                lines = self.process.stderr.read().decode(errors="replace").strip().splitlines()
                self.reason = lines[-1] if lines else f"its process ended with code {code}"
            raise UserError(f"The map could not be drawn: {self.reason}")
        return code == 0


class MapMaker:
    """Starts fits and keeps track of them; all sessions of a server share one."""

    def __init__(self) -> None:
        self._fits: dict[tuple[Path, MapSettings], Fit] = {}
        self._lock = threading.Lock()

    def fit(self, run: Run, settings: MapSettings) -> Fit | None:
        """Returns the running fit of a run's map; None if the map is already on disk.

        If the map is missing, its fit is started.

        Raises:
            UserError: if the fit failed; only after `forget` it can be started again.
        """
        with self._lock:
            key = (run.path.resolve(), settings)
            if key in self._fits and self._fits[key].check():
                del self._fits[key]
            if key not in self._fits:
                if is_ready(run, settings):
                    return None
                self._fits[key] = _start(*key)
            return self._fits[key]

    def forget(self, run: Run, settings: MapSettings) -> None:
        """Forgets a fit that failed, so that the next call of `fit` starts it again."""
        with self._lock:
            self._fits.pop((run.path.resolve(), settings), None)


def _start(path: Path, settings: MapSettings) -> Fit:
    module = ["app.jobs.maps", str(path), json.dumps(asdict(settings))]
    environment = os.environ | {"MOCOOP_CACHE": str(default_cache().resolve())}
    try:
        return Fit(start_module(module, environment, errors=subprocess.PIPE))
    except OSError as error:
        raise cannot_start("The map", error) from error


def main(run: str, settings: str) -> None:
    """Fits a run's map and writes it to disk, after other processes have fitted theirs."""
    if hasattr(os, "nice"):
        os.nice(5)  # pages and trainings have priority
    try:
        cache = default_cache()
        with explain_write_errors(cache, "MOCOOP_CACHE"), exclusive_lock(cache / "maps"):
            wanted = MapSettings(**json.loads(settings))
            projection_of(open_run(run), wanted, in_run=not read_only(), must_save=True)
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])

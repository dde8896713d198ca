"""Starts the processes of a training with `--devices`, and watches them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.runs.status import QUEUED, STATUS_FILE, read_status
from mocoop.storage.atomic import write_json

LOOK_SECONDS = 0.1  # between two looks at the processes
PATIENCE_SECONDS = 10.0  # in which all processes end after the first one has failed


def train_on_devices(
    config: TrainConfig, path: Path, devices: int, options: Sequence[str]
) -> None:
    """Trains a run in several processes of this machine.

    Args:
        config: the run's settings.
        path: the run's folder.
        devices: number of processes.
        options: options of `mocoop train` for the first process, such as `--quiet`.

    Raises:
        UserError: for settings that cannot be shared, or if a process was killed.
        SystemExit: if the first process failed and said why.
        KeyboardInterrupt: if the training was stopped; the first process said how to go on.
    """
    from mocoop.training.ranks import check_can_be_shared

    check_can_be_shared(config)
    with tempfile.TemporaryDirectory(prefix="mocoop-devices-") as folder:
        settings = Path(folder) / "settings.json"
        write_json(settings, {"config": config.to_dict()})
        line = [sys.executable, "-m", "mocoop", "train", "--config", str(settings)]
        processes = [
            _start([*line, "--run", str(path), *(options if rank == 0 else ["--quiet"])], rank,
                   devices, port, Path(folder))
            for port in [_free_port()] for rank in range(devices)
        ]  # fmt: skip
        try:
            _hand_over(path, processes[0].pid)
            with _stops_forwarded(processes) as stopped:
                _watch(processes)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
        _tell(processes, stopped, Path(folder))


def _hand_over(path: Path, pid: int) -> None:
    """Lets the first process train the run in a folder that is reserved for this one."""
    from mocoop.runs.run import Run
    from mocoop.runs.writer import hand_over

    if not (path / STATUS_FILE).exists():  # a folder that was named is not reserved
        return
    status = read_status(path)
    if status.state == QUEUED and status.pid == os.getpid():
        hand_over(Run(path), pid)


def _start(
    line: list[str], rank: int, world: int, port: int, folder: Path
) -> subprocess.Popen[bytes]:
    """Starts one process; what others than the first say goes to a file."""
    cores = os.cpu_count() or 1
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
    variables = {"OMP_NUM_THREADS": str(max(1, cores // world)), **os.environ}
    variables |= {name: str(value) for name, value in place.items()}
    variables["MASTER_ADDR"] = "127.0.0.1"
    if rank == 0:
        return subprocess.Popen(line, env=variables)
    with (folder / f"{rank}.log").open("wb") as log:
        return subprocess.Popen(line, env=variables, stdout=log, stderr=log)


def _free_port() -> int:
    """Returns a port of this machine that no one uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _stops_forwarded(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Passes signals to stop on to the first process; yields the list of those that came."""
    came: list[int] = []

    def forward(number: int, frame: object) -> None:
        came.append(number)
        # After Ctrl-C in a terminal every process has the signal already.
        if number == signal.SIGTERM and processes[0].poll() is None:
            processes[0].send_signal(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Returns when all processes have ended, or some time after one of them has failed."""
    deadline = None
    while any(process.poll() is None for process in processes):
        failed = any(process.poll() for process in processes)
        if failed and deadline is None:
            deadline = time.monotonic() + PATIENCE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(LOOK_SECONDS)


def _tell(
    processes: Sequence[subprocess.Popen[bytes]], stopped: Sequence[int], folder: Path
) -> None:
    """Raises what the exit codes of the processes mean."""
    first = processes[0].returncode
    if stopped:
        raise KeyboardInterrupt("stopped")
    killed = [rank for rank, p in enumerate(processes) if p.returncode and p.returncode < 0]
    for rank in killed:
        _raise(f"was ended by signal {-processes[rank].returncode}", rank, len(processes))
    if first:
        raise SystemExit(first)  # it said why
    for rank, process in enumerate(processes):
        if process.returncode:
            said = (folder / f"{rank}.log").read_text(errors="replace").strip().splitlines()
            _raise(f"failed: {said[-1] if said else 'it said nothing'}", rank, len(processes))


def _raise(what: str, rank: int, world: int) -> NoReturn:
    raise UserError(
        f"Process {rank + 1} of {world} {what}; the others were stopped. `mocoop resume` "
        "continues the run, in one process."
    )

"""Where jobs run: processes of this machine, or the nodes of a Ray cluster.

Ray is an extra (`pip install "mocoop[ray]"`) and is imported only when it is asked for.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from mocoop import __version__
from mocoop.errors import UserError, choose_from
from mocoop.storage.processes import limit_threads, parallel_map

T = TypeVar("T")
ENGINES = ("local", "ray")
ANSWER_SECONDS = 10  # in which an address has to answer
RETRIES = 1  # a job whose worker or node dies is started once more, elsewhere
CARRIED = "MOCOOP_"  # variables that jobs on other nodes also have
CARRIED_ALSO = ("HF_HUB_OFFLINE",)


@dataclass(frozen=True)
class Engine:
    """Where jobs run, and what each of them needs there."""

    name: str = "local"
    """`local`, or `ray`."""
    workers: int = 1
    """local: the number of processes; with 1, this process does the jobs in order. ray without
    an address: the number of processor cores of the cluster that is started on this machine."""
    address: str = ""
    """ray: address of a running cluster, `auto` for the one of this machine; empty starts one."""
    cpus: float = 1.0
    """ray: processor cores of each job, which is also its number of threads."""
    gpus: float = 0.0
    """ray: GPUs of each job; a fraction shares one."""
    memory: float = 0.0
    """ray: memory of each job in GiB, so that a node takes no more than fit; 0 asks for none."""

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise choose_from("engine", self.name, ENGINES)
        if self.workers < 1 or not self.cpus > 0 or self.gpus < 0 or self.memory < 0:
            raise UserError(
                "workers must be at least 1, cpus greater than 0, gpus and memory at least 0; got "
                f"{self.workers}, {self.cpus}, {self.gpus} and {self.memory}."
            )
        if self.address and self.name != "ray":
            raise UserError("An address is for --engine ray. Add it, or leave the address out.")

    def map(
        self,
        work: Callable[..., T],
        jobs: Sequence[tuple[Any, ...]],
        names: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, T]]:
        """Yields each job's index and result, in the order in which the jobs finish.

        Args:
            work: a function on module level, which is called with the arguments of a job.
            jobs: the arguments of every call.
            names: what an error message calls each job; numbers by default.

        Raises:
            UserError: ray: after all others are done, if jobs failed, with each one's reason; or
                if Ray is missing, does not answer, or has no node for such a job.
            Exception: local: the error of a job.
        """
        if self.name == "local":
            yield from parallel_map(work, jobs, self.workers)
        elif jobs:
            yield from _on_ray(self, work, jobs, names or [str(i + 1) for i in range(len(jobs))])


def _on_ray(
    engine: Engine, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]], names: Sequence[str]
) -> Iterator[tuple[int, T]]:
    """Yields what jobs on a Ray cluster return; when it is closed, the others are cancelled."""
    if find_spec("ray") is None:
        raise UserError('Ray is not installed. Install it: pip install "mocoop[ray]"')
    import ray

    own = not ray.is_initialized()
    if own:
        _connect(engine)
    try:
        _check_room(engine, ray.cluster_resources())
        needs: dict[str, Any] = {"num_cpus": engine.cpus, "num_gpus": engine.gpus}
        if engine.memory:
            needs["memory"] = int(engine.memory * 2**30)
        remote: Any = ray.remote(max_retries=RETRIES, retry_exceptions=False, **needs)(_call)
        values = {name: value for name, value in os.environ.items() if _is_carried(name)}
        threads = max(1, int(engine.cpus))
        waiting = {remote.remote(__version__, values, threads, work, job): i
                   for i, job in enumerate(jobs)}  # fmt: skip
        failed: dict[str, str] = {}
        try:
            while waiting:
                (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
                index = waiting.pop(ready)
                try:
                    result: T = ray.get(ready)
                except ray.exceptions.RayTaskError as error:
                    failed[names[index]] = str(error.cause)
                except ray.exceptions.RayError as error:
                    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                    failed[names[index]] = f"its worker died {RETRIES + 1} times ({reason})"
                else:
                    yield index, result
        finally:
            for job in waiting:
                ray.cancel(job, force=True)
    finally:
        if own:
            ray.shutdown()
    if failed:
        reasons = "".join(f"\n  {name}: {why}" for name, why in failed.items())
        raise UserError(
            f"{len(failed)} of {len(jobs)} jobs failed; the others are finished and kept. Run the "
            f"same command again for the rest.{reasons}"
        )


def _call(
    version: str,
    variables: dict[str, str],
    threads: int,
    work: Callable[..., T],
    job: tuple[Any, ...],
) -> T:
    """Does a job in a worker of Ray, with the variables of the process that asked for it."""
    if version != __version__:
        raise UserError(
            f"the node {socket.gethostname()} has mocoop {__version__}, not {version}: install "
            "the same version on all nodes"
        )
    os.environ.update(variables)
    limit_threads(threads)
    return work(*job)


def _is_carried(name: str) -> bool:
    return name.startswith(CARRIED) or name in CARRIED_ALSO


def _connect(engine: Engine) -> None:
    """Starts Ray on this machine, or connects to a running cluster.

    Raises:
        UserError: if there is no cluster at the address.
    """
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if not engine.address:
        ray.init(num_cpus=engine.workers, include_dashboard=False, **options)
        return
    host, _, port = engine.address.rpartition(":")
    try:
        if host and port.isdecimal():
            socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
        ray.init(address=engine.address, **options)
    except (OSError, ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"No Ray cluster answers at {engine.address!r} ({error}). Start one with `ray start "
            "--head`, or leave the address out to start one on this machine."
        ) from error


def _check_room(engine: Engine, there: dict[str, float]) -> None:
    """Raises UserError if the whole cluster has less than a single job needs."""
    needs = (
        ("CPUs", engine.cpus, there.get("CPU", 0.0)),
        ("GPUs", engine.gpus, there.get("GPU", 0.0)),
        ("GiB of memory", engine.memory, there.get("memory", 0.0) / 2**30),
    )
    for name, needed, present in needs:
        if needed > present:
            raise UserError(
                f"A job asks for {needed:g} {name}, but the whole cluster has {present:.3g}. Ask "
                "for less, or add nodes."
            )


def shared_folder(root: Path) -> Path:
    """Returns a folder's absolute path, which jobs on all nodes have to reach."""
    return root.expanduser().resolve()

"""Jobs on a Ray cluster: connecting, checks of all nodes before anything starts, and failures.

Ray is imported only inside functions: it is an extra.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mocoop import __version__
from mocoop.errors import UserError
from mocoop.storage.processes import limit_threads

if TYPE_CHECKING:
    from mocoop.storage.engines import Engine

T = TypeVar("T")
ANSWER_SECONDS = 10  # in which an address has to answer
NODE_SECONDS = 60  # in which every node has to answer: a process starts on each
RETRIES = 1  # a job whose worker or node dies is started once more, elsewhere
CARRIED = "MOCOOP_"  # variables that jobs on other nodes also have
CARRIED_ALSO = ("HF_HUB_OFFLINE",)
# How HTTP/2 begins (RFC 9113, 3.4): both sides send a frame of settings first.
FRAME_HEAD, SETTINGS = 9, 4  # bytes of a frame's head; its type, which is the fourth byte
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])


def on_cluster(
    engine: Engine,
    work: Callable[..., T],
    jobs: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    folders: Sequence[Path],
) -> Iterator[tuple[int, T]]:
    """Yields what jobs on a Ray cluster return; when it is closed, the others are cancelled."""
    with connected(engine, folders):
        import ray

        remote: Any = ray.remote(max_retries=RETRIES, retry_exceptions=False, **needs(engine))(
            _call
        )
        place = worker_place(engine)
        waiting = {remote.remote(*place, work, job): i for i, job in enumerate(jobs)}
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
                    failed[names[index]] = why_lost(error, RETRIES + 1)
                else:
                    yield index, result
        finally:
            for job in waiting:
                ray.cancel(job, force=True)
    raise_failed(failed, len(jobs))


def raise_failed(failed: Mapping[str, str], number: int) -> None:
    """Raises UserError with the reason of every job that failed; nothing if there is none."""
    if failed:
        reasons = "".join(f"\n  {name}: {why}" for name, why in failed.items())
        raise UserError(
            f"{len(failed)} of {number} jobs failed; the others are finished and kept. Run the "
            f"same command again for the rest.{reasons}"
        )


def why_lost(error: Exception, times: int) -> str:
    """Returns why a job has no result, although it did not fail by itself."""
    import ray

    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    full = (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError)
    if isinstance(error, full):
        return (
            f"Ray's object store on its node is full ({reason}). Free memory and disk there, or "
            "start the node with more: ray start --object-store-memory"
        )
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return f"its node has too little memory ({reason}). Ask for more with --memory"
    return f"its worker died {times} times ({reason})"


def needs(engine: Engine) -> dict[str, Any]:
    """Returns what a job asks of a node, as Ray's options."""
    found: dict[str, Any] = {"num_cpus": engine.cpus, "num_gpus": engine.gpus}
    return found | ({"memory": int(engine.memory * 2**30)} if engine.memory else {})


def worker_place(engine: Engine) -> tuple[str, dict[str, str], int]:
    """Returns the version, the variables and the number of threads that a worker has to have."""
    values = {name: value for name, value in os.environ.items() if _is_carried(name)}
    return __version__, values, max(1, int(engine.cpus))


def settle(version: str, variables: Mapping[str, str], threads: int) -> None:
    """Prepares a worker of Ray: the variables of the process that asked, and few threads.

    Raises:
        UserError: if its node has another version of MoCoOp.
    """
    if version != __version__:
        raise UserError(
            f"the node {socket.gethostname()} has mocoop {__version__}, not {version}: install "
            "the same version on all nodes"
        )
    os.environ.update(variables)
    limit_threads(threads)


def _call(
    version: str,
    variables: Mapping[str, str],
    threads: int,
    work: Callable[..., T],
    job: tuple[Any, ...],
) -> T:
    """Does a job in a worker of Ray."""
    settle(version, variables, threads)
    return work(*job)


def _is_carried(name: str) -> bool:
    return name.startswith(CARRIED) or name in CARRIED_ALSO


@contextmanager
def connected(engine: Engine, folders: Sequence[Path] = ()) -> Iterator[None]:
    """Connects to a cluster, or starts one, and checks that all its nodes can do the jobs.

    Raises:
        UserError: if Ray is missing, does not answer, or a node does not fit.
    """
    if find_spec("ray") is None:
        raise UserError('Ray is not installed. Install it: pip install "mocoop[ray]"')
    import ray

    own = not ray.is_initialized()
    if own:
        _connect(engine)
    try:
        _check_room(engine, ray.cluster_resources())
        _check_nodes(folders)
        yield
    finally:
        if own:
            ray.shutdown()


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
    try:
        _check_answers(engine.address)
        ray.init(address=engine.address, **options)
    except (OSError, ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"No Ray cluster answers at {engine.address!r} ({error}). Start one with `ray start "
            "--head`, or leave the address out to start one on this machine."
        ) from error


def _check_answers(address: str) -> None:
    """Raises an error if nothing at an address answers in time as Ray does, which is in HTTP/2.

    Something else may listen there, which Ray would ask for minutes.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return
    with socket.create_connection((host, int(port)), ANSWER_SECONDS) as found:
        found.sendall(HELLO)
        answer = found.recv(FRAME_HEAD)
    if len(answer) < FRAME_HEAD or answer[3] != SETTINGS:
        raise ConnectionError("what listens there is no Ray cluster")


def _check_room(engine: Engine, there: Mapping[str, float]) -> None:
    """Raises UserError if the whole cluster has less than a single job needs."""
    asked = (
        ("CPUs", engine.cpus, there.get("CPU", 0.0)),
        ("GPUs", engine.gpus, there.get("GPU", 0.0)),
        ("GiB of memory", engine.memory, there.get("memory", 0.0) / 2**30),
    )
    for name, needed, present in asked:
        if needed > present:
            raise UserError(
                f"A job asks for {needed:g} {name}, but the whole cluster has {present:.3g}. Ask "
                "for less, or add nodes."
            )


def _check_nodes(folders: Sequence[Path]) -> None:
    """Raises UserError if a node has another version, or does not reach one of the folders.

    A node that does not answer in time is not waited for: it may be going away.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look: Any = ray.remote(num_cpus=0, max_retries=0)(_look)
    asked = {
        look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote([str(folder) for folder in folders]): node["NodeManagerHostname"]
        for node in ray.nodes()
        if node["Alive"]
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=NODE_SECONDS)
    wrong: dict[str, None] = {}  # each sentence once
    for answer in answered:
        host = asked[answer]
        try:
            version, missing = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            wrong[f"{host} cannot load mocoop {__version__} ({error.cause})"] = None
            continue
        except ray.exceptions.RayError:
            continue  # it died; the jobs go elsewhere
        if version != __version__:
            wrong[f"{host} has mocoop {version}, not {__version__}"] = None
        if missing:
            wrong[f"{host} does not reach {', '.join(missing)}"] = None
    if wrong:
        raise UserError(
            f"Not all nodes fit: {'; '.join(wrong)}. Install the same version on all nodes, and "
            "give them the data and the folder of runs under the same paths."
        )


def _look(folders: Sequence[str]) -> tuple[str, list[str]]:
    """Returns a node's version of MoCoOp, and the folders that it does not reach."""
    return __version__, [folder for folder in folders if not Path(folder).exists()]

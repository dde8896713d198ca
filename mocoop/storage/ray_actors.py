"""Workers on a Ray cluster that keep what they have loaded from job to job.

Not Ray Data: it chooses the batches itself, by load, and the last bits of features depend on the
batch that an image is in. Here a job is a fixed batch, whoever does it, and however often.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mocoop.errors import UserError
from mocoop.storage.ray_cluster import (
    connected,
    needs,
    raise_failed,
    settle,
    why_lost,
    worker_place,
)

if TYPE_CHECKING:
    from mocoop.storage.engines import Engine

T = TypeVar("T")
TIMES = 3  # a job whose worker dies so often is given up: it may be the job that kills it


class _Worker:
    """An actor: it makes once what does the jobs."""

    def __init__(self) -> None:
        self._work: Callable[..., Any] | None = None

    def load(
        self,
        version: str,
        variables: Mapping[str, str],
        threads: int,
        make: Callable[..., Callable[..., Any]],
        given: tuple[Any, ...],
    ) -> None:
        """Makes what does the jobs."""
        settle(version, variables, threads)
        self._work = make(*given)

    def do(self, job: tuple[Any, ...]) -> Any:
        """Does a job."""
        assert self._work is not None
        return self._work(*job)


def on_actors(
    engine: Engine,
    make: Callable[..., Callable[..., T]],
    given: tuple[Any, ...],
    jobs: Sequence[tuple[Any, ...]],
    names: Sequence[str],
) -> Iterator[tuple[int, T]]:
    """Yields what jobs return; the job of a worker that dies is done by another one."""
    with connected(engine):
        import ray

        actor: Any = ray.remote(max_restarts=0, **needs(engine))(_Worker)
        place = worker_place(engine)
        loading: dict[Any, Any] = {}  # answer → worker that is not ready yet
        doing: dict[Any, tuple[int, Any]] = {}  # answer → job and worker

        def start() -> None:
            worker = actor.remote()
            loading[worker.load.remote(*place, make, given)] = worker

        for _ in range(min(len(jobs), _room(engine, ray.cluster_resources()))):
            start()
        left, deaths, failed = deque(range(len(jobs))), Counter[int](), dict[str, str]()
        unmade, idle = 0, list[Any]()
        while left or doing:
            while left and idle:
                index, worker = left.popleft(), idle.pop()
                doing[worker.do.remote(jobs[index])] = index, worker
            if not left:
                loading.clear()  # the workers that are not ready are no longer needed
            (ready, *_), _ = ray.wait([*doing, *loading], num_returns=1)
            if ready in loading:
                worker = loading.pop(ready)
                try:
                    ray.get(ready)
                    idle.append(worker)
                except ray.exceptions.RayTaskError as error:
                    if not (loading or doing or idle):
                        raise UserError(f"No worker is ready: {error.cause}") from error
                except ray.exceptions.RayError as error:
                    unmade += 1
                    if unmade == TIMES:
                        raise UserError(f"No worker is ready: {why_lost(error, TIMES)}") from error
                    start()
                continue
            index, worker = doing.pop(ready)
            try:
                result: T = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                failed[names[index]] = str(error.cause)
                idle.append(worker)
            except ray.exceptions.RayError as error:
                start()  # in its place
                deaths[index] += 1
                if deaths[index] < TIMES:
                    left.appendleft(index)
                else:
                    failed[names[index]] = why_lost(error, TIMES)
            else:
                idle.append(worker)
                yield index, result
        raise_failed(failed, len(jobs))


def _room(engine: Engine, there: Mapping[str, float]) -> int:
    """Returns how many workers the cluster has room for."""
    asked = (("CPU", engine.cpus), ("GPU", engine.gpus), ("memory", engine.memory * 2**30))
    return max(1, min(int(there.get(name, 0.0) / each) for name, each in asked if each))

"""Runs jobs in parallel, each in a process with its share of the processor cores."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import ModuleType
from typing import Any, TypeVar

from mocoop.errors import UserError

T = TypeVar("T")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class FreshProcesses(ProcessPoolExecutor):
    """Worker processes that import the job's module, and do not run the caller's script again.

    They are spawned, because a forked process may hang in torch's threads. Python would run the
    main script in each of them, to find what is defined there: a script without
    `if __name__ == "__main__":` would do everything again, and a page of the app would end the
    worker. That is only done here for a job that is itself defined in the script.

    Args:
        workers: number of processes.
        prepare: is called in every process, with `given`, before its first job.
    """

    def __init__(
        self, workers: int, prepare: Callable[..., None], given: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(workers, multiprocessing.get_context("spawn"), prepare, given)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Asks for a job; the first one starts the processes."""
        if fn.__module__ == "__main__":
            return super().submit(fn, *args, **kwargs)
        with _without_main_script():
            return super().submit(fn, *args, **kwargs)


def result_of(job: Future[T]) -> T:
    """Waits for a job of FreshProcesses and returns its result.

    Raises:
        UserError: if a worker was killed, for instance because memory ran out.
        Exception: the error of the job.
    """
    try:
        return job.result()
    except BrokenProcessPool:
        raise UserError(
            "A worker process was ended from outside before its work was done. Often the memory "
            "was not enough: use fewer workers. What was finished is kept; run the same command "
            "again to go on."
        ) from None


@contextmanager
def _without_main_script() -> Iterator[None]:
    """Hides from new processes which script this one runs."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def parallel_map(
    work: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[tuple[int, T]]:
    """Yields each job's index and result, in the order in which the jobs finish.

    Args:
        work: a function on module level, which is called with the arguments of a job.
        jobs: the arguments of every call.
        workers: number of processes; with 1, this process does the jobs in order.

    Raises:
        UserError: if a worker was killed, for instance because memory ran out.
        Exception: the error of a job. Jobs that are running are finished first; the others are
            not started.
    """
    if workers <= 1:
        for index, job in enumerate(jobs):
            yield index, work(*job)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    with FreshProcesses(workers, _start_worker, (threads,)) as pool:
        futures = {pool.submit(work, *job): index for index, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], result_of(future)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker(threads: int) -> None:
    """Prepares this process, a worker, which is to end together with the one that started it.

    A worker whose parent was killed would finish its job and then wait for another for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(
            target=_end_with, args=(parent.sentinel,), daemon=True, name="ends with its parent"
        ).start()
    limit_threads(threads)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)  # the main thread may be in the middle of a job


def limit_threads(threads: int) -> None:
    """Limits the threads of this process, a worker, before it computes anything.

    numpy and scipy have linear algebra libraries of their own, which would start a thread per
    core in every worker: on two busy cores a linear probe took 170 seconds instead of 2.
    """
    for variable in _THREAD_VARIABLES:  # read by libraries that are loaded later
        os.environ[variable] = str(threads)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)  # for libraries that are loaded already

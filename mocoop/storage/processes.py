"""Runs jobs in parallel, each in a process with its share of the processor cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from typing import Any, TypeVar

T = TypeVar("T")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def parallel_map(
    work: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[tuple[int, T]]:
    """Yields each job's index and result, in the order in which the jobs finish.

    Args:
        work: a function on module level, which is called with the arguments of a job.
        jobs: the arguments of every call.
        workers: number of processes; with 1, this process does the jobs in order.

    Raises:
        Exception: the error of a job. Jobs that are running are finished first; the others are
            not started.
    """
    if workers <= 1:
        for index, job in enumerate(jobs):
            yield index, work(*job)
        return
    # "spawn", because a forked process may hang in torch's threads.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, context, _start_worker, (threads,)) as pool:
        futures = {pool.submit(work, *job): index for index, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
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

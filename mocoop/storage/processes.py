"""Several pieces of work at once, each in a process with its share of the processor cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

T = TypeVar("T")


def at_once(
    work: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[tuple[int, T]]:
    """Yields each job's place and result, in the order in which they are done.

    Args:
        work: a function of a module, called with a job's values.
        jobs: the values of every call.
        workers: processes at once; with one the work is done in this process, in order.

    Raises:
        Exception: whatever a job raises; those under way are finished first, others not begun.
    """
    if workers <= 1:
        for place, job in enumerate(jobs):
            yield place, work(*job)
        return
    # Spawned, because a forked process may hang in torch's threads.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, context, _start_worker, (threads,)) as pool:
        futures = {pool.submit(work, *job): place for place, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker(threads: int) -> None:
    """Gives a worker its share of the cores, before anything is computed."""
    import torch

    torch.set_num_threads(threads)

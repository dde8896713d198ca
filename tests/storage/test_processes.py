"""Jobs in parallel: each worker process keeps to its share of the processor cores."""

from __future__ import annotations

import os

from mocoop.storage.processes import parallel_map


def threads_of_libraries(size):
    """Returns the largest number of threads of all numeric libraries, after using them."""
    import numpy as np
    import scipy.linalg
    import torch
    from threadpoolctl import threadpool_info

    matrix = np.eye(size)
    scipy.linalg.cholesky(matrix @ matrix)
    return max([torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())])


def test_workers_share_the_cores():
    workers = os.cpu_count() or 1
    jobs = [(4,)] * 2
    results = dict(parallel_map(threads_of_libraries, jobs, max(2, workers)))
    assert results == {0: 1, 1: 1}

"""Jobs in parallel: each worker process keeps to its share of the processor cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mocoop.storage.processes import parallel_map

ROOT = Path(__file__).resolve().parents[2]


def threads_of_libraries(size):
    """Returns the largest number of threads of all numeric libraries, after using them."""
    import numpy as np
    import scipy.linalg
    import torch
    from threadpoolctl import threadpool_info

    matrix = np.eye(size)
    scipy.linalg.cholesky(matrix @ matrix)
    return max([torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())])


@pytest.mark.long
def test_workers_share_the_cores():
    workers = os.cpu_count() or 1
    jobs = [(4,)] * 2
    results = dict(parallel_map(threads_of_libraries, jobs, max(2, workers)))
    assert results == {0: 1, 1: 1}


def note_and_sleep(folder):
    """Writes this worker's process id, and then works longer than the test waits."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def test_workers_end_with_the_process_that_was_killed(tmp_path):
    code = (
        "import sys; from mocoop.storage.processes import parallel_map\n"
        "from tests.storage.test_processes import note_and_sleep\n"
        "if __name__ == '__main__':\n"
        "    list(parallel_map(note_and_sleep, [(sys.argv[1],)] * 2, 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    end = time.monotonic() + 120
    while len(workers := list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < end, "the workers did not start"
        assert parent.poll() is None
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    alive = [
        psutil.Process(int(path.name)) for path in workers if psutil.pid_exists(int(path.name))
    ]
    _, left = psutil.wait_procs(alive, timeout=30)
    for process in left:
        process.kill()
    assert left == []

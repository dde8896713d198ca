"""Jobs in parallel: each worker process keeps to its share of the processor cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mocoop.errors import UserError
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


def run(script):
    """Runs a script as a user would, and returns what it printed."""
    return subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_script_without_a_guard_is_run_once(tmp_path):
    # As a page of the app would be, which AppTest leaves behind as the main script.
    script = tmp_path / "script.py"
    script.write_text(
        "import operator\n"
        "from mocoop.storage.processes import parallel_map\n"
        "print('started', flush=True)\n"
        "print(sorted(parallel_map(operator.add, [(1, 2), (3, 4)], 2)))\n"
        "raise SystemExit('a page that ends here')\n"
    )
    done = run(script)
    assert done.stdout.splitlines() == ["started", "[(0, 3), (1, 7)]"], done.stderr


def test_a_job_that_is_defined_in_the_script_is_found(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from mocoop.storage.processes import parallel_map\n"
        "def double(number):\n"
        "    return 2 * number\n"
        "if __name__ == '__main__':\n"
        "    print(sorted(parallel_map(double, [(1,), (2,)], 2)))\n"
    )
    done = run(script)
    assert done.stdout.splitlines() == ["[(0, 2), (1, 4)]"], done.stderr


def end_at_once(number):
    """Ends its worker as the system does when memory runs out."""
    if number:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_told_in_words():
    with pytest.raises(UserError, match="use fewer workers"):
        list(parallel_map(end_at_once, [(0,), (1,)], 2))

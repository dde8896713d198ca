"""Measures how quickly `mocoop serve` answers: `python -m tests.measure_serve`.

Clients on this machine send pictures of one test set, each over a connection of its own. Prints
medians and the 95th percentile of the seconds from connect to the whole answer.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from mocoop.datasets import load_dataset
from tests.service.test_service import RUN, request

CLIENTS, EACH = (1, 20), 20


def main() -> None:
    """Prints a table."""
    dataset = load_dataset("albums")
    contents = []
    for item in dataset.items("test")[: max(CLIENTS) * EACH]:
        buffer = io.BytesIO()
        dataset.image(item).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    command = [sys.executable, "-m", "mocoop", "serve", RUN, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline().split()[0].rpartition(":")[2])

        def timed(content: bytes) -> float:
            began = time.perf_counter()
            status, _ = request(port, content)
            assert status == 200
            return time.perf_counter() - began

        print(f"load: {os.getloadavg()}, cores: {os.cpu_count()}")
        print("| clients at once | median | 95 % below | pictures a second |\n|---|---|---|---|")
        for clients in CLIENTS:
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(timed, contents[: 2 * clients]))  # warm
                began = time.perf_counter()
                spent = list(pool.map(timed, contents[: clients * EACH]))
                rate = len(spent) / (time.perf_counter() - began)
            middle, high = statistics.median(spent), statistics.quantiles(spent, n=20)[-1]
            print(f"| {clients} | {1000 * middle:.0f} ms | {1000 * high:.0f} ms | {rate:.0f} |")
        process.terminate()


if __name__ == "__main__":
    main()

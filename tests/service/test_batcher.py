"""Batches: order, size, errors, the end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mocoop.service.batcher import Batcher


class Doubler:
    """Doubles numbers, and keeps the batches; waits for `go` before each one."""

    def __init__(self):
        self.batches, self.go = [], threading.Semaphore(0)

    def __call__(self, numbers):
        self.go.acquire()
        self.batches.append(list(numbers))
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


def test_what_came_meanwhile_is_one_batch():
    double = Doubler()
    batcher = Batcher(double, largest=3)
    first = batcher.submit(0)
    double.go.release()
    assert first.result(10) == 0  # a single thing does not wait for others
    later = [batcher.submit(number) for number in range(1, 8)]
    for _ in range(7):
        double.go.release()
    assert [future.result(10) for future in later] == [2, 4, 6, 8, 10, 12, 14]
    batcher.close()
    assert [number for batch in double.batches for number in batch] == list(range(8))
    assert max(map(len, double.batches)) == 3


def test_an_error_reaches_its_batch_and_no_other():
    double = Doubler()
    batcher = Batcher(double, largest=1)
    futures = [batcher.submit(number) for number in (1, 13, 2)]
    for _ in futures:
        double.go.release()
    assert futures[0].result(10) == 2
    with pytest.raises(ValueError, match="13"):
        futures[1].result(10)
    assert futures[2].result(10) == 4
    batcher.close()


def test_one_that_nobody_waits_for_is_left_out():
    double = Doubler()
    batcher = Batcher(double, largest=4)
    futures = [batcher.submit(number) for number in range(6)]
    assert futures[5].cancel()
    for _ in futures:
        double.go.release()
    batcher.close()
    assert 5 not in [number for batch in double.batches for number in batch]


def test_many_threads_get_their_own_answers():
    batcher = Batcher(lambda numbers: [number**2 for number in numbers], largest=8)
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda number: batcher.submit(number).result(10), range(500)))
    batcher.close()
    assert found == [number**2 for number in range(500)]

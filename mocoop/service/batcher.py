"""Answers single things in batches: whatever has come while the last batch was answered."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Given = TypeVar("Given")
Answer = TypeVar("Answer")


class Batcher(Generic[Given, Answer]):
    """Collects single things from many threads and answers them in batches, in one thread.

    Nothing waits for a batch to fill: a single thing is answered at once. Under load the batches
    become larger by themselves.

    Args:
        answer: returns the answers of a batch, in its order.
        largest: the largest batch.
    """

    def __init__(
        self, answer: Callable[[Sequence[Given]], Sequence[Answer]], largest: int
    ) -> None:
        self._answer = answer
        self._largest = largest
        self._waiting: queue.SimpleQueue[tuple[Given, Future[Answer]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="batches")
        self._thread.start()

    def submit(self, given: Given) -> Future[Answer]:
        """Returns the answer that will come; it raises what `answer` raised for its batch."""
        future: Future[Answer] = Future()
        self._waiting.put((given, future))
        return future

    def close(self) -> None:
        """Answers what is waiting, then ends the thread. Nothing may be submitted afterwards."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        going_on = True
        while going_on:
            first = self._waiting.get()
            batch = [] if first is None else [first]
            going_on = first is not None
            while going_on and len(batch) < self._largest:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    going_on = False
                else:
                    batch.append(more)
            self._answer_batch([one for one in batch if one[1].set_running_or_notify_cancel()])

    def _answer_batch(self, batch: Sequence[tuple[Given, Future[Answer]]]) -> None:
        if not batch:
            return
        try:
            answers = self._answer([given for given, _ in batch])
        except BaseException as error:  # passed on to those who wait, who would wait for ever
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

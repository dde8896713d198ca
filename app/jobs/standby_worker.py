"""The process of `app.jobs.standby`: it makes itself ready, then waits for a training.

The training comes as one line of JSON on standard input. If the input ends without one, because
the server has ended, the process ends too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from app.jobs import worker
from mocoop.errors import UserError
from mocoop.slow_imports import import_slow

MODULES = ("mocoop.cli.main", "mocoop.cli.train", "mocoop.training.experiment")


def main() -> None:
    """Makes itself ready, waits for a training, and becomes its process."""
    orders: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=lambda: orders.put(_read_order()), daemon=True).start()
    _make_ready(orders)
    if line := orders.get():
        _train(json.loads(line))


def _read_order() -> bytes:
    """Returns the line on standard input; empty if the input ends without one.

    It reads without `sys.stdin`: the processes that decode images are forked while this waits,
    and would wait for the lock of `sys.stdin` for ever when they end.
    """
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 65536)
        if not part:
            return b""
        line += part
    return line


def _make_ready(orders: SimpleQueue[bytes]) -> None:
    """Imports what a training needs and encodes the default one's images, until an order comes."""
    import_slow(MODULES)
    from mocoop.methods import MENU
    from mocoop.presets import preset
    from mocoop.training.ahead import encode_ahead

    # What goes wrong here goes wrong in a training too, which then says so.
    with suppress(UserError, OSError):
        encode_ahead(preset(next(iter(MENU))), lambda: not orders.empty())


def _train(order: dict) -> None:
    """Trains a run as `app.jobs.worker` does."""
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)
    os.environ.update(order["environment"])
    run, *options = order["arguments"]
    worker.main(Path(run), worker.RESUME in options)


if __name__ == "__main__":
    main()

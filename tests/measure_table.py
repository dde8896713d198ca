"""Measures the time and memory that a long table of images takes to load; not a test.

python -m tests.measure_table [ROWS]

It writes a CSV of 10 million rows (path, label) or of as many as are said, of 1,000 classes, in
random order, without the images. It prints the size of the file, processor seconds, and peak
memory.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

CLASSES = 1000


def write(file: Path, rows: int) -> None:
    """Writes the table."""
    numbers = list(range(rows))
    random.Random(1).shuffle(numbers)
    with file.open("w") as lines:
        lines.write("path,label\n")
        for number in numbers:
            name = f"class {number % CLASSES:04}"
            lines.write(f"images/{name}/{number:08}.jpg,{name}\n")


def peak() -> float:
    """Returns the largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load(file: str) -> None:
    """Loads the table, and prints the time and memory."""
    from mocoop.datasets import load_dataset

    before, started = peak(), time.process_time()
    data = load_dataset(file)
    seconds = time.process_time() - started
    counts = ", ".join(f"{len(items):,} {split}" for split, items in data.splits.items())
    print(
        f"{counts}: {seconds:.0f} s of one core, {peak():,.0f} MiB at most ({before:,.0f} before)"
    )


def main() -> None:
    """Writes and loads the table in a process of its own, so that only loading is counted."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photos.csv"
        write(file, rows)
        print(f"{rows:,} rows, {file.stat().st_size / 2**20:,.0f} MiB")
        process = multiprocessing.get_context("spawn").Process(target=load, args=(str(file),))
        process.start()
        process.join()


if __name__ == "__main__":
    main()

"""Rows found again by key: across objects, damaged shards, and two writers at once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import pytest
import torch

from mocoop.errors import UserError
from mocoop.storage.shards import KEY_BYTES, Shards, short_key

KEYS = [short_key(f"picture {number}") for number in range(50)]
ROWS = torch.arange(150.0).view(50, 3)


def test_keys_are_short_and_differ():
    assert {len(key) for key in KEYS} == {KEY_BYTES}
    assert len(set(KEYS)) == len(KEYS)
    assert short_key("caf\udce9")  # a name that is not UTF-8


def test_rows_are_found_in_the_order_asked_for(tmp_path):
    """Whatever shard they lie in, against a dictionary."""
    Shards(tmp_path).add(KEYS[:20], ROWS[:20])
    Shards(tmp_path).add(KEYS[20:30], ROWS[20:30])
    table = dict(zip(KEYS[:30], ROWS[:30], strict=True))
    asked = [KEYS[29], KEYS[40], KEYS[3], KEYS[3], KEYS[25], KEYS[49]]
    known, rows = Shards(tmp_path).find(asked)
    assert known == [0, 2, 3, 4]
    assert torch.equal(rows, torch.stack([table[asked[place]] for place in known]))


def test_nothing_known(tmp_path):
    shards = Shards(tmp_path / "none")
    assert shards.find(KEYS) == ([], None)
    shards.add(KEYS[:2], ROWS[:2])
    assert shards.find([]) == ([], None)
    assert shards.find(KEYS[5:]) == ([], None)


def test_what_others_write_is_seen(tmp_path):
    """One object sees the shards that came after it first looked."""
    mine, theirs = Shards(tmp_path), Shards(tmp_path)
    mine.add(KEYS[:5], ROWS[:5])
    assert mine.find(KEYS[:10])[0] == [0, 1, 2, 3, 4]
    theirs.add(KEYS[5:8], ROWS[5:8])
    assert mine.find(KEYS[:10])[0] == list(range(8))


def test_bytes_keep_their_type(tmp_path):
    shards = Shards(tmp_path)
    shards.add(KEYS[:4], torch.arange(8, dtype=torch.uint8).view(4, 2))
    _, rows = shards.find(KEYS[1:2])
    assert rows.dtype == torch.uint8
    assert rows.tolist() == [[2, 3]]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_damaged_shard_counts_as_absent(tmp_path, when):
    """Also if it is damaged after its keys were read."""
    Shards(tmp_path).add(KEYS[:5], ROWS[:5])
    (file,) = tmp_path.glob("*.safetensors")
    shards = Shards(tmp_path)
    if when == "after":
        assert shards.find(KEYS[:1])[0] == [0]
    file.write_bytes(file.read_bytes()[:60])
    shards.add(KEYS[5:7], ROWS[5:7])
    known, rows = shards.find(KEYS[:7])
    assert known == [5, 6]
    assert torch.equal(rows, ROWS[5:7])


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    shards = Shards(tmp_path)
    shards.add(KEYS[:5], ROWS[:5])
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(UserError, match=r"No space left on device\. Free some space, or set"):
            shards.add(KEYS[5:9], ROWS[5:9])
    assert len(list(tmp_path.iterdir())) == 1
    shards.add(KEYS[5:9], ROWS[5:9])
    assert shards.find(KEYS)[0] == list(range(9))


@pytest.mark.long
def test_two_processes_write_at_once(tmp_path):
    """Both write the same rows and others; all are there afterwards and none is half."""
    program = (
        "import sys, torch; from pathlib import Path\n"
        "from mocoop.storage.shards import Shards, short_key\n"
        "shards = Shards(Path(sys.argv[1])); first = int(sys.argv[2])\n"
        "for number in range(first, first + 30):\n"
        "    shards.add([short_key(str(number))], torch.full((1, 2), float(number)))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(first)])
        for first in (0, 15)
    ]
    shards, end = Shards(tmp_path), time.monotonic() + 60
    while any(writer.poll() is None for writer in writers):
        known, rows = shards.find([short_key(str(number)) for number in range(45)])
        if known:
            assert rows[:, 0].tolist() == [float(number) for number in known]
        assert time.monotonic() < end
    assert [writer.returncode for writer in writers] == [0, 0]
    assert shards.find([short_key(str(number)) for number in range(45)])[0] == list(range(45))


def test_many_rows_are_found_quickly(tmp_path):
    """Ten thousand rows in several shards take a small part of a second."""
    keys = [short_key(str(number)) for number in range(10_000)]
    rows = torch.randn(10_000, 64)
    for start in range(0, 10_000, 2048):
        Shards(tmp_path).add(keys[start : start + 2048], rows[start : start + 2048])
    began = time.perf_counter()
    known, found = Shards(tmp_path).find(keys)
    assert time.perf_counter() - began < 2.0
    assert known == list(range(10_000))
    assert torch.equal(found, rows)


@pytest.mark.parametrize("damaged", [False, True])
def test_rows_that_are_written_again_are_found_by_the_same_object(tmp_path, damaged):
    """A server goes on after somebody has cleared the cache: it must not encode all for ever."""
    shards = Shards(tmp_path)
    shards.add(KEYS, ROWS)
    assert len(shards.find(KEYS)[0]) == len(KEYS)
    (file,) = tmp_path.iterdir()
    if damaged:
        file.write_bytes(b"no tensors")
    else:
        file.unlink()
    assert shards.find(KEYS) == ([], None)
    shards.add(KEYS, ROWS)
    known, rows = shards.find(KEYS)
    assert known == list(range(len(KEYS)))
    assert torch.equal(rows, ROWS)

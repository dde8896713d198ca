"""A sweep and an extraction on a Ray cluster, while workers are killed at random moments."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mocoop.errors import UserError
from mocoop.features.extraction import Request, all_items, extract
from mocoop.protocols.tuning import tune
from mocoop.storage.engines import Engine
from mocoop.sweeps.halving import run_sweep
from mocoop.sweeps.plan import Halving, Sweep
from mocoop.sweeps.table import records
from tests.support.tiny_data import picture_folder, tiny_checkpoint

pytestmark = pytest.mark.cluster
RAY = Engine("ray", workers=2)
PICTURES = int(os.environ.get("MOCOOP_TEST_PICTURES", "3000"))
"""With 10000 the test of the extraction takes some minutes."""
SIDE = 24


class Killer(threading.Thread):
    """Kills worker processes of Ray that run a job, at random moments.

    Args:
        number: how many.
        seed: of the moments.
    """

    def __init__(self, number, seed):
        super().__init__(daemon=True)
        self.number, self.killed = number, []
        self.generator = random.Random(seed)

    def run(self):
        """Kills one worker after the other."""
        while len(self.killed) < self.number:
            time.sleep(self.generator.uniform(0.02, 0.3))
            busy = [p for p in psutil.Process().children(recursive=True) if is_busy(p)]
            if busy:
                chosen = self.generator.choice(busy)
                chosen.send_signal(signal.SIGKILL)
                self.killed.append(chosen.pid)


def is_busy(process):
    """Whether a process is a worker of Ray with an actor's method or a job of ours."""
    try:
        title = process.cmdline()[0]
    except (psutil.Error, IndexError):
        return False
    return title.startswith("ray::") and ("_Worker.do" in title or "_call" in title)


def many_pictures(path, count):
    """Writes small pictures of two classes in three splits, one of them twice."""
    generator = np.random.default_rng(0)
    for number in range(count):
        split = ("train", "val", "test")[number % 3]
        folder = path / split / ("dark", "light")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (path / "test/dark/twice.png").write_bytes((path / "train/dark/0.png").read_bytes())
    return str(path)


def shards(folder):
    """Returns the keys and rows of all shards in a cache."""
    files = sorted((folder / "features").rglob("*.safetensors"))
    found = [load_file(file) for file in files]
    keys = [bytes(key.tolist()) for shard in found for key in shard["keys"]]
    return keys, torch.cat([shard["rows"] for shard in found])


@pytest.fixture
def without_ray():
    """Ends the cluster of another file's tests, and our own."""
    import ray

    ray.shutdown()
    yield
    ray.shutdown()


def test_features_are_byte_equal_though_workers_die(tmp_path, without_ray):
    pictures = many_pictures(tmp_path / "pictures", PICTURES)
    clip = tiny_checkpoint(tmp_path / "clip")
    here = Request(pictures, clip, device="cpu", precision="fp32", decoders=0,
                   cache=tmp_path / "here")  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers: with others the last bits differ
    try:
        extract(here)
    finally:
        torch.set_num_threads(threads)
    there = Request(pictures, clip, device="cpu", precision="fp32", decoders=0,
                    cache=tmp_path / "there")  # fmt: skip
    killer = Killer(2, seed=5)

    def begin(done, total):
        """Begins to kill when the first part is encoded."""
        if not killer.ident:
            killer.start()

    done = extract(there, RAY, progress=begin, part=64)
    killer.join(5)
    assert len(killer.killed) == 2
    assert (done.images, done.new, done.unreadable) == (PICTURES + 1, PICTURES, ())
    keys, _ = shards(tmp_path / "there")
    assert len(keys) == len(set(keys)) == PICTURES  # no duplicate, no gap
    assert not list((tmp_path / "there").rglob(".*"))  # nor half a file
    dataset = here.dataset()
    items = all_items(dataset)
    expected, found = (request.features().features(dataset, items) for request in (here, there))
    assert torch.equal(found, expected)
    assert extract(there, RAY).new == 0


def test_images_that_cannot_be_read_are_told(tmp_path, without_ray):
    pictures = Path(picture_folder(tmp_path / "pictures"))
    (pictures / "val/red cup/0.png").write_bytes(b"no picture")
    request = Request(str(pictures), tiny_checkpoint(tmp_path / "clip"), decoders=0,
                      cache=tmp_path / "cache")  # fmt: skip
    done = extract(request, RAY, part=4)
    assert (done.images, done.new) == (21, 20)
    assert "val/red cup/0.png: this file is not a readable image" in done.unreadable[0]
    with pytest.raises(UserError, match="no-clip"):
        extract(Request(str(pictures), str(tmp_path / "no-clip")), RAY)


def test_a_sweep_is_that_of_the_local_engine(tmp_path, monkeypatch, without_ray):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sweep = Sweep(
        (picture_folder(tmp_path / "pictures"),),
        ("coop", "mocoop"),
        (2,),
        (1, 2),
        tiny_checkpoint(tmp_path / "clip"),
        {"epochs": 3},
        {"learning_rate": (0.5, 0.001)},
        halving=Halving(1, 2),
    )

    def numbers(engine, folder):
        training = run_sweep(sweep, folder, engine)
        while True:
            try:
                next(training)
            except StopIteration as end:
                found = records(sweep, end.value)
                break
        for test in (test for record in found for test in record["test"]):
            del test["run"]
        return found

    killer = Killer(1, seed=3)
    killer.start()
    on_ray = numbers(RAY, tmp_path / "ray")
    assert len(killer.killed) == 1
    assert on_ray == numbers(Engine(), tmp_path / "local")


def test_settings_are_tuned_alike(tmp_path, monkeypatch, without_ray):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    asked = ("coop", {"learning_rate": ["0.5", "0.001"]}, (picture_folder(tmp_path / "p"),))
    rest = ((2,), (1, 2), tiny_checkpoint(tmp_path / "clip"), 1)
    found = list(tune(*asked, *rest, RAY))
    assert sorted(found, key=str) == sorted(tune(*asked, *rest), key=str)

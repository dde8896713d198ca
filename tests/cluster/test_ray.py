"""Jobs and whole protocols on a Ray cluster of several nodes on this machine.

`make test-cluster` installs Ray and runs these tests; `make test` leaves them out.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace

import pytest

from mocoop import __version__
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.protocols.plans import Plan, tasks
from mocoop.protocols.runner import run_tasks
from mocoop.results.protocol_rows import rows_of
from mocoop.storage import ray_cluster
from mocoop.storage.engines import Engine
from tests.support.tiny_data import picture_folder, tiny_checkpoint

pytestmark = pytest.mark.cluster


def place_of(number):
    """Returns the number, the process, and a variable of the process that asked."""
    return number, os.getpid(), os.environ.get("MOCOOP_TEST", ""), os.environ["OMP_NUM_THREADS"]


def fails_for(number):
    """Raises for 2, dies for 3, else returns the number."""
    if number == 2:
        raise UserError("two is not allowed")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def dies_once(folder):
    """Dies at the first call, and returns a word at the second."""
    mark = folder / "called"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def slow(folder, number):
    """Writes that it began, and takes a while."""
    (folder / str(number)).touch()
    time.sleep(2)
    return number


@pytest.fixture(scope="module")
def cluster():
    """A cluster of three nodes with one core each, on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def engine(cluster):
    return Engine("ray", address=cluster.address)


def refuses():
    """Makes nothing."""
    raise UserError("there is no CLIP here")


def adds(first):
    """Returns what adds a number, and tells the process that does it."""
    return lambda second: (first + second, os.getpid())


def test_workers_keep_what_they_made(engine):
    found = dict(engine.map_keeping(adds, (10,), [(n,) for n in range(20)]))
    assert [found[n][0] for n in range(20)] == [10 + n for n in range(20)]
    assert len({process for _, process in found.values()}) <= 3
    with pytest.raises(UserError, match="No worker is ready: there is no CLIP here"):
        list(engine.map_keeping(refuses, (), [(1,)]))


def test_jobs_run_in_other_processes_with_our_variables(engine, monkeypatch):
    monkeypatch.setenv("MOCOOP_TEST", "carried")
    found = dict(engine.map(place_of, [(n,) for n in range(6)]))
    assert {index: value[0] for index, value in found.items()} == {n: n for n in range(6)}
    assert os.getpid() not in {value[1] for value in found.values()}
    assert {value[2:] for value in found.values()} == {("carried", "1")}


def test_failed_jobs_are_told_after_the_others(engine):
    found: list[tuple[int, int]] = []
    with pytest.raises(UserError, match="2 of 5 jobs failed") as told:
        found.extend(engine.map(fails_for, [(n,) for n in range(5)], list("abcde")))
    assert sorted(found) == [(0, 0), (1, 1), (4, 4)]
    assert "\n  c: two is not allowed" in str(told.value)
    assert "\n  d: its worker died 2 times" in str(told.value)


def test_a_dead_workers_job_is_done_elsewhere(engine, tmp_path):
    assert list(engine.map(dies_once, [(tmp_path,)])) == [(0, "done")]


def test_what_is_left_is_cancelled_when_the_caller_stops(engine, tmp_path):
    results = engine.map(slow, [(tmp_path, n) for n in range(12)])
    next(results)
    results.close()
    time.sleep(3)
    assert len(list(tmp_path.iterdir())) < 12


def test_another_version_is_told(engine, monkeypatch):
    monkeypatch.setattr(ray_cluster, "__version__", "0.0.1")
    with pytest.raises(UserError, match=f"has mocoop {__version__}, not 0.0.1"):
        list(engine.map(place_of, [(1,)]))


def test_more_than_the_cluster_has_is_refused(cluster):
    asked = [({"cpus": 64.0}, "64 CPUs"), ({"gpus": 1.0}, "1 GPUs")]
    asked.append(({"memory": 1e6}, r"1e\+06 GiB of memory"))
    for needs, message in asked:
        with pytest.raises(UserError, match=f"asks for {message}, but the whole cluster has"):
            list(Engine("ray", address=cluster.address, **needs).map(place_of, [(1,)]))


def test_an_address_that_does_not_answer_is_told():
    import ray

    ray.shutdown()
    began = time.monotonic()
    with pytest.raises(UserError, match=r"No Ray cluster answers at '127\.0\.0\.1:9'"):
        list(Engine("ray", address="127.0.0.1:9").map(place_of, [(1,)]))
    assert time.monotonic() - began < 15


def test_something_else_at_the_address_is_told():
    """A server that accepts and never answers, which Ray itself would ask for minutes."""
    import ray

    ray.shutdown()
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UserError, match=r"No Ray cluster answers at .*timed out"):
            list(Engine("ray", address=address).map(place_of, [(1,)]))
        assert time.monotonic() - began < 15


def test_a_folder_that_nodes_do_not_reach_is_told_before_anything_runs(engine, tmp_path):
    folders = [tmp_path, tmp_path / "nowhere"]
    with pytest.raises(UserError, match=r"Not all nodes fit: .* does not reach .*nowhere"):
        list(engine.map(slow, [(tmp_path, 1)], folders=folders))
    assert not list(tmp_path.iterdir())


def test_a_node_without_room_is_told():
    import ray

    full = ray.exceptions.ObjectStoreFullError("no room")
    assert "Ray's object store on its node is full" in ray_cluster.why_lost(full, 2)
    disk = ray.exceptions.OutOfDiskError("no room")
    assert "--object-store-memory" in ray_cluster.why_lost(disk, 2)
    memory = ray.exceptions.OutOfMemoryError("killed")
    assert "Ask for more with --memory" in ray_cluster.why_lost(memory, 2)


def test_a_protocol_survives_the_death_of_a_node(cluster, tmp_path, monkeypatch):
    """24 runs, one node killed in the middle: the same numbers, and no run trained twice."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    plan = Plan(
        "few-shot",
        (picture_folder(tmp_path / "pictures"),),
        ("coop", "mocoop"),
        (1, 2),
        (1, 2, 3, 4, 5, 6),
        tiny_checkpoint(tmp_path / "clip"),
        epochs=2,
    )
    asked = [replace(task, config=replace(task.config, save_every=1)) for task in tasks(plan)]
    assert len(asked) == 24
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    found = []
    for task, run in run_tasks(
        asked, tmp_path / "ray", engine=Engine("ray", address=cluster.address)
    ):
        found.append((task, run))
        if len(found) == 8:
            cluster.remove_node(node, allow_graceful=False)
    local = list(run_tasks(asked, tmp_path / "local"))

    def numbers(pairs):
        rows = [row for task, run in pairs for row in rows_of(task, run)]
        kept = (row for row in rows if "seconds" not in row.measure)
        return sorted(((row.method, row.shots, row.seed, row.measure), row.value) for row in kept)

    assert len(found) == 24
    assert numbers(found) == numbers(local)
    folders = [path for path in (tmp_path / "ray").iterdir() if path.is_dir()]
    finished = [path for path in folders if (path / "results.json").exists()]
    assert len(finished) == 24
    assert preset("coop").epochs != 2  # the plan's own number was used

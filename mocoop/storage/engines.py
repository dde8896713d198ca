"""Where jobs run: processes of this machine, or the nodes of a Ray cluster.

Ray is an extra (`pip install "mocoop[ray]"`) and is imported only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mocoop.errors import UserError, choose_from
from mocoop.storage.processes import parallel_map

T = TypeVar("T")
ENGINES = ("local", "ray")
_USUAL = {"cpus": 1.0, "gpus": 0.0, "memory": 0.0}


@dataclass(frozen=True)
class Engine:
    """Where jobs run, and what each of them needs there."""

    name: str = "local"
    """`local`, or `ray`."""
    workers: int = 1
    """local: the number of processes; with 1, this process does the jobs in order. ray without
    an address: the number of processor cores of the cluster that is started on this machine."""
    address: str = ""
    """ray: address of a running cluster, `auto` for the one of this machine; empty starts one."""
    cpus: float = 1.0
    """ray: processor cores of each job, which is also its number of threads."""
    gpus: float = 0.0
    """ray: GPUs of each job; a fraction shares one."""
    memory: float = 0.0
    """ray: memory of each job in GiB, so that a node takes no more than fit; 0 asks for none."""

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise choose_from("engine", self.name, ENGINES)
        if self.workers < 1 or not self.cpus > 0 or self.gpus < 0 or self.memory < 0:
            raise UserError(
                "workers must be at least 1, cpus greater than 0, gpus and memory at least 0; got "
                f"{self.workers}, {self.cpus}, {self.gpus} and {self.memory}."
            )
        if self.address and self.name != "ray":
            raise UserError("An address is for --engine ray. Add it, or leave the address out.")
        asked = [name for name, usual in _USUAL.items() if getattr(self, name) != usual]
        if asked and self.name != "ray":
            raise UserError(
                f"--{asked[0]} is for --engine ray; processes of this machine share its cores. "
                f"Add it, or leave --{asked[0]} out."
            )

    @contextmanager
    def open(self) -> Iterator[None]:
        """Stays connected for several calls of `map`; without it each call connects anew.

        Raises:
            UserError: ray: if it is missing, or does not answer.
        """
        if self.name == "local":
            yield
        else:
            from mocoop.storage.ray_cluster import connected

            with connected(self):
                yield

    def map(
        self,
        work: Callable[..., T],
        jobs: Sequence[tuple[Any, ...]],
        names: Sequence[str] | None = None,
        folders: Sequence[Path] = (),
    ) -> Iterator[tuple[int, T]]:
        """Yields each job's index and result, in the order in which the jobs finish.

        Args:
            work: a function on module level, which is called with the arguments of a job.
            jobs: the arguments of every call.
            names: what an error message calls each job; numbers by default.
            folders: ray: what every node has to reach.

        Raises:
            UserError: ray: after all others are done, if jobs failed, with each one's reason; or
                if Ray is missing, does not answer, has no node for such a job, or has a node with
                another version or without the folders.
            Exception: local: the error of a job.
        """
        if self.name == "local":
            yield from parallel_map(work, jobs, self.workers)
        elif jobs:
            from mocoop.storage.ray_cluster import on_cluster

            yield from on_cluster(self, work, jobs, names or numbered(jobs), folders)

    def map_keeping(
        self,
        make: Callable[..., Callable[..., T]],
        given: tuple[Any, ...],
        jobs: Sequence[tuple[Any, ...]],
        names: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, T]]:
        """Yields each job's index and result; every worker makes once what does the jobs.

        For jobs that need what takes long to load, such as a CLIP.

        Args:
            make: a function on module level; `make(*given)` returns what is called with the
                arguments of a job.
            given: the arguments of `make`.
            jobs: the arguments of every call.
            names: what an error message calls each job; numbers by default.

        Raises:
            UserError: as `map`.
        """
        if self.name == "local":
            work = make(*given)
            yield from ((index, work(*job)) for index, job in enumerate(jobs))
        elif jobs:
            from mocoop.storage.ray_actors import on_actors

            yield from on_actors(self, make, given, jobs, names or numbered(jobs))


def shared_folder(root: Path) -> Path:
    """Returns a folder's absolute path, which jobs on all nodes have to reach."""
    return root.expanduser().resolve()


def needed_folders(root: Path, configs: Iterable[Any]) -> list[Path]:
    """Returns the folders that all nodes have to reach: that of the runs, data and CLIPs.

    Args:
        root: the folder of the runs.
        configs: the settings of the runs; only `data` and `backbone` are looked at.
    """
    named = dict.fromkeys(name for config in configs for name in (config.data, config.backbone))
    paths = [Path(name).expanduser() for name in named]
    return [root, *(path.resolve() for path in paths if path.exists())]


def numbered(jobs: Sequence[tuple[Any, ...]]) -> list[str]:
    """Returns the number of each job, from 1."""
    return [str(index + 1) for index in range(len(jobs))]

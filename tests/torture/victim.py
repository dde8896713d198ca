"""What can be killed, and one attempt on it: start, kill, check, repeat, compare."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.world import (
    World,
    environment,
    finished_in_time,
    forked,
    held_locks,
    leftovers,
    orphans,
    store_problems,
)

TWICE = 0.3  # share of the attempts in which the repeated work is killed as well


@dataclass(frozen=True)
class Attempt:
    """What became of one kill."""

    where: str
    """What the victim was doing; empty if it ended before the kill."""
    problems: tuple[str, ...] = ()


@dataclass
class Victim(ABC):
    """Some work that writes files, done by a process that is killed at any moment."""

    root: Path
    """Folder for the folders of the attempts, and of the undisturbed work."""
    cache: Path
    """A cache that all attempts share."""
    seconds: float = field(default=0.0, init=False)
    """How long the work takes undisturbed."""
    name = ""
    own_cache = False
    """Whether every attempt starts with an empty cache."""

    @abstractmethod
    def work(self, world: World) -> object:
        """Does the work, in the process that is killed."""

    @abstractmethod
    def where(self, world: World) -> str:
        """Returns what the victim was doing when it was killed, as far as its files tell."""

    @abstractmethod
    def differences(self, world: World, reference: World) -> list[str]:
        """Returns in what the repeated work differs from undisturbed work."""

    def half(self, world: World) -> list[str]:
        """Returns what looks finished after a kill and is not."""
        return []

    def again(self, world: World) -> object:
        """Does the work once more, as a user would after a crash."""
        return self.work(world)

    def prepare(self, world: World) -> None:
        """Puts into an empty world what the work needs; by default nothing."""
        world.log.touch()

    def close(self) -> None:
        """Ends what the victim needs beside its own process; by default there is nothing."""
        self.seconds = 0.0

    def variables(self, world: World) -> dict[str, str]:
        """Returns the environment variables of the work."""
        return world.variables(None if self.own_cache else self.cache)

    def measure(self) -> None:
        """Does the work undisturbed, which is what repeated work is compared with.

        Raises:
            RuntimeError: if even that fails.
        """
        self.reference = self._world("reference")
        with environment(self.variables(self.reference)):
            self._finish(self.reference)  # fills caches of the process and of the disk
            self.reference = self._world("reference")
            began = time.monotonic()
            self._finish(self.reference)
            self.seconds = time.monotonic() - began

    def attempt(self, dice: random.Random, number: int) -> Attempt:
        """Kills the work at a random moment and returns what was found."""
        world = self._world(f"attempt-{number}")
        moment = dice.uniform(0, self.seconds)
        second = dice.uniform(0, self.seconds) if dice.random() < TWICE else None
        with environment(self.variables(world)):
            if not (problems := self._killed(self.work, world, moment)):
                return Attempt("")
            where = self.where(world)
            problems += self.half(world) + self._store(world)
            if second is not None:
                problems += self._killed(self.again, world, second) + self.half(world)
            problems.append(finished_in_time(lambda: self.again(world), world.log))
            if not any(problems):
                problems += self.differences(world, self.reference)
            folders = (world.runs, world.data, world.cache, world.out, world.root / "hub")
            problems += leftovers(*folders) + held_locks(*folders) + self._store(world)
        return Attempt(where, tuple(dict.fromkeys(filter(None, problems))))

    def _killed(self, work, world: World, moment: float) -> list[str]:
        """Starts work and kills it; returns what remains, or nothing if it ended before.

        One entry is always empty after a kill, so that the list is not.
        """
        process = forked(lambda: work(world), world.log)
        process.join(moment)
        if not process.is_alive():
            return []
        process.kill()
        process.join()
        return ["", *orphans(process.pid or 0)]

    def _store(self, world: World) -> list[str]:
        return store_problems(world.runs)

    def _world(self, name: str) -> World:
        world = World.new(self.root / self.name.replace(" ", "-") / name)
        self.prepare(world)
        return world

    def _finish(self, world: World) -> None:
        failed = finished_in_time(lambda: self.work(world), world.log, 300)
        if failed:
            raise RuntimeError(f"{self.name}, undisturbed: {failed}; see {world.log}")

"""The pictures of every training step, drawn in worker processes ahead of their use.

A step's pictures depend on the seed and the step alone: how many processes draw them, and
whether the training was interrupted, changes nothing. Nothing here imports torch, so that
workers start at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from mocoop.storage.processes import FreshProcesses, result_of
from mocoop.world.layers import GROUNDS
from mocoop.world.patches import NOBODY
from mocoop.world.roles import ROLES, layouts_with, random_layout
from mocoop.world.scenes import EASY, Painter, Scene
from mocoop.world.styles import STYLES
from mocoop.world.things import Thing, every_thing

CHUNK = 128  # pictures that a worker draws at a time

# How often a thing of a field is drawn: faces differ in little and take more pictures.
EMPHASIS = {"faces": 1.6, "digits": 1.4, "signs": 0.7}
# Outlines and reliefs are harder to read and take more pictures.
STYLE_EMPHASIS = {"sketch": 1.8, "sculpture": 1.4}
GROUND_SHARES = (0.6, 0.15, 0.25)  # of GROUNDS
# How often all things of a scene are of one field.
_ONE_FIELD = 0.35


class Pictures(NamedTuple):
    """Drawn pictures and what they show."""

    pixels: np.ndarray  # (pictures, 3, height, width), uint8
    things: np.ndarray  # (pictures, roles), into every_thing(), NOBODY where the role is empty
    styles: np.ndarray  # (pictures,), into STYLES
    grounds: np.ndarray  # (pictures,), into GROUNDS
    patches: np.ndarray  # (pictures, patches), role in each patch, NOBODY where none is


class Artist:
    """Draws random scenes, easy setting."""

    def __init__(self) -> None:
        self.things = every_thing()
        self.painter = Painter()
        weights = np.array([EMPHASIS.get(thing.field, 1.0) for thing in self.things])
        self._weights = weights / weights.sum()
        styles = np.array([STYLE_EMPHASIS.get(style, 1.0) for style in STYLES])
        self._styles = np.cumsum(styles / styles.sum())

    def pool(self, size: int, rng: Generator) -> np.ndarray:
        """Returns some of the things, in order: those of a step, which are told apart in it."""
        if size >= len(self.things):
            return np.arange(len(self.things))
        return np.sort(rng.choice(len(self.things), size, replace=False, p=self._weights))

    def draw(self, count: int, singles: float, pool: np.ndarray, rng: Generator) -> Pictures:
        """Returns random pictures.

        Args:
            count: how many.
            singles: share of pictures of a single thing.
            pool: the things that may be in them.
            rng: draws everything.
        """
        found = []
        for _ in range(count):
            if rng.random() < singles:
                layout: tuple[str, ...] = (ROLES[int(rng.integers(len(ROLES)))],)
            else:
                layout = random_layout(rng)
            found.append(self._scene(layout, pool, rng))
        return _stack(found)

    def draw_role(self, role: str, style: str, ground: str, rng: Generator) -> Pictures:
        """Returns a picture of several things, one of them in a role; style and ground given."""
        layouts = layouts_with(role)
        layout = layouts[int(rng.integers(len(layouts)))]
        pool = np.arange(len(self.things))
        return _stack([self._scene(layout, pool, rng, style, ground)])

    def _scene(
        self,
        layout: tuple[str, ...],
        pool: np.ndarray,
        rng: Generator,
        style: str = "",
        ground: str = "",
    ) -> tuple[np.ndarray, np.ndarray, int, int, np.ndarray]:
        """Returns a picture, who is in each role, its style and ground, the roles in patches."""
        who = self._who(len(layout), pool, rng)
        style = style or STYLES[int(np.searchsorted(self._styles[:-1], rng.random()))]
        if not ground:
            ground = GROUNDS[int(np.searchsorted(np.cumsum(GROUND_SHARES), rng.random()))]
        things: dict[str, Thing] = {
            role: self.things[i] for role, i in zip(layout, who, strict=True)
        }
        row = np.full(len(ROLES), NOBODY, np.int16)
        for role, i in zip(layout, who, strict=True):
            row[ROLES.index(role)] = i
        scene = Scene(things, style, ground)
        pixels, patches = self.painter.draw_with_patches(scene, EASY, rng)
        return pixels, row, STYLES.index(style), GROUNDS.index(ground), patches

    def _who(self, count: int, pool: np.ndarray, rng: Generator) -> list[int]:
        """Returns different things: any, or all of the first one's field."""
        chosen = [int(pool[rng.integers(len(pool))])]
        if count > 1 and rng.random() < _ONE_FIELD:
            field = self.things[chosen[0]].field
            same = [i for i in pool.tolist() if self.things[i].field == field]
            pool = np.array(same) if len(same) >= count else pool
        while len(chosen) < count:
            other = int(pool[rng.integers(len(pool))])
            if other not in chosen:
                chosen.append(other)
        return chosen


def step_pictures(
    seed: int, batch_size: int, names: int, shares: dict[int, float], workers: int
) -> Iterator[tuple[np.ndarray, Pictures]]:
    """Yields the things of each step and its pictures, drawn ahead in worker processes.

    Args:
        seed: of the training.
        batch_size: pictures per step.
        names: how many things a step has.
        shares: step → share of single things; the steps to draw, in order.
        workers: processes.
    """
    parts = [min(CHUNK, batch_size - start) for start in range(0, batch_size, CHUNK)]
    waiting: deque[list[Future[tuple[np.ndarray, Pictures]]]] = deque()
    steps = iter(shares.items())
    with FreshProcesses(workers, _start_worker) as workshop:

        def ask() -> None:
            for step, singles in steps:
                jobs = [
                    workshop.submit(_draw, seed, step, part, count, names, singles)
                    for part, count in enumerate(parts)
                ]
                waiting.append(jobs)
                return

        try:
            for _ in range(2 + 2 * workers * CHUNK // batch_size):
                ask()
            while waiting:
                done = [result_of(job) for job in waiting.popleft()]
                ask()
                drawn = zip(*(pictures for _, pictures in done), strict=True)
                yield done[0][0], Pictures(*(np.concatenate(part) for part in drawn))
        finally:
            workshop.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """What a worker process keeps."""

    artist: Artist


def _start_worker() -> None:
    """Makes a worker's artist before its first job."""
    _Worker.artist = Artist()


def _draw(
    seed: int, step: int, part: int, count: int, names: int, singles: float
) -> tuple[np.ndarray, Pictures]:
    """Returns the things of a step, and a part of its pictures."""
    artist = _Worker.artist
    pool = artist.pool(names, np.random.default_rng((3, seed, step)))
    rng = np.random.default_rng((1, seed, step, part))
    return pool, artist.draw(count, singles, pool, rng)


def _stack(found: list[tuple[np.ndarray, np.ndarray, int, int, np.ndarray]]) -> Pictures:
    """Returns pictures one by one as one value."""
    pixels, things, styles, grounds, patches = zip(*found, strict=True)
    return Pictures(
        np.stack(pixels),
        np.stack(things),
        np.array(styles, np.int16),
        np.array(grounds, np.int16),
        np.stack(patches),
    )

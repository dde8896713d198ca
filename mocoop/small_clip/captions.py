"""The captions of a training step, and which pictures each is true of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from mocoop.small_clip.pictures import Pictures
from mocoop.world.captions import PLURAL, random_caption, random_template
from mocoop.world.layers import GROUNDS
from mocoop.world.patches import NOBODY
from mocoop.world.roles import ROLES
from mocoop.world.styles import STYLES
from mocoop.world.things import Thing

Pieces = tuple[str, ...]  # a caption, cut around the name


class StepCaptions(NamedTuple):
    """Captions of a step: first roles × names, names, names × styles; then the pictures' own."""

    pieces: list[Pieces]
    own: list[Pieces]
    style_names: np.ndarray  # (names,), the things whose captions name every style
    matches: np.ndarray  # (pictures, own captions), 1 where true; of the first pictures


def step_captions(
    things: Sequence[Thing],
    pool: np.ndarray,
    pictures: Pictures,
    own: int,
    style_names: int,
    rng: Generator,
) -> StepCaptions:
    """Returns a step's captions.

    Args:
        things: all of them, in the order of the pictures' labels.
        pool: the things of the step.
        pictures: of the step.
        own: how many pictures get a caption of their own.
        style_names: how many things' captions name every style.
        rng: draws the words.
    """
    pieces: list[Pieces] = []
    end = ("", ".")[rng.random() < 0.7]
    for role in (*ROLES, None):
        template = random_template(role, None, rng) + end
        pieces += [cut(template, things[i]) for i in pool]
    chosen = rng.permutation(pool)[:style_names]
    role = None if rng.random() < 0.5 else ROLES[int(rng.integers(len(ROLES)))]
    templates = [random_template(role, style, rng) + end for style in STYLES]
    pieces += [cut(template, things[i]) for i in chosen for template in templates]
    texts, matches = _own(things, pictures, own, rng)
    return StepCaptions(pieces, [(text,) for text in texts], chosen, matches)


def cut(template: str, thing: Thing) -> Pieces:
    """Returns a template filled with a thing's name or plural, cut around it."""
    slot, word = (PLURAL, thing.plural) if PLURAL in template else ("{}", thing.name)
    before, _, after = template.partition(slot)
    return tuple(piece for piece in (before.strip(), word, after.strip()) if piece)


def _own(
    things: Sequence[Thing], pictures: Pictures, count: int, rng: Generator
) -> tuple[list[str], np.ndarray]:
    """Returns captions of the first pictures, and which of these pictures each is true of."""
    rows, styles = pictures.things[:count], pictures.styles[:count]
    grounds = pictures.grounds[:count]
    texts: list[str] = []
    matches = np.empty((len(rows), len(rows)), np.float32)
    for column, row in enumerate(rows):
        present = {ROLES[k]: things[i] for k, i in enumerate(row) if i != NOBODY}
        text, (role, style, ground, thing) = random_caption(
            present, STYLES[styles[column]], GROUNDS[grounds[column]], rng
        )
        label = next(i for i in row if i != NOBODY and things[i] is thing)
        there = rows == label  # (pictures, roles)
        true = there.any(axis=1) if role is None else there[:, ROLES.index(role)]
        if style is not None:
            true = true & (styles == styles[column])
        if ground is not None:
            true = true & (grounds == grounds[column])
        texts.append(text)
        matches[:, column] = true
    return texts, matches

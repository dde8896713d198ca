"""The server's part: it checks what clients send, averages it, and keeps a pool of prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mocoop.federated.nearest import distance, nearest_prompts

State = dict[str, Tensor]

_RARE = 6.0  # standard deviations by which the norm of noise exceeds its mean once in 10^8 times


@dataclass(frozen=True)
class Update:
    """What a client sends after its part of a round."""

    client: str
    images: int
    """Number of training images, the client's weight in the average."""
    state: State
    """The parameters that travel, by name."""


@dataclass
class Server:
    """The state of the server between rounds.

    Args:
        shared: the parameters that all clients start from, by name; empty if nothing travels.
        most_change: largest L2 distance of an update from the shared parameters; a larger one is
            refused, so that no client alone can move the average as it likes.
        noise: standard deviation of what clients add to each number for their privacy; an update
            may be further away by the length of that.
    """

    shared: State
    most_change: float
    noise: float = 0.0
    pool: dict[str, State] = field(default_factory=dict)
    """Client → the last prompt that it sent."""

    def receive(self, updates: Sequence[Update]) -> dict[str, str]:
        """Averages sound updates, weighted by images; returns why others were refused, by client.

        The average is unchanged if no update is sound.
        """
        refused: dict[str, str] = {}
        sound = []
        for update in updates:
            problem = self.problem(update)
            if problem:
                refused[update.client] = problem
            else:
                sound.append(update)
        total = sum(update.images for update in sound)
        if total and self.shared:
            self.shared = {
                name: sum(
                    (update.state[name] * (update.images / total) for update in sound),
                    torch.zeros_like(value),
                )
                for name, value in self.shared.items()
            }
        for update in sound:
            if update.state:
                self.pool[update.client] = update.state
        return refused

    def problem(self, update: Update) -> str:
        """Returns what is wrong with an update, in words; an empty text if nothing is."""
        if update.images < 1:
            return "it has no images"
        if _kinds(update.state) != _kinds(self.shared):
            return "its parameters have other names, shapes or number types"
        if any(not torch.isfinite(value).all() for value in update.state.values()):
            return "its parameters are not finite numbers"
        change = distance(update.state, self.shared)
        if change > self._allowed:
            return f"its change {change:.3g} is larger than the allowed {self._allowed:.3g}"
        return ""

    @property
    def _allowed(self) -> float:
        """The largest L2 distance of an update: that of a change, and that of its noise."""
        numbers = sum(value.numel() for value in self.shared.values())
        return self.most_change + self.noise * (math.sqrt(numbers) + _RARE)

    def nearest(self, clients: Sequence[str], count: int) -> dict[str, list[str]]:
        """Returns whose last prompts are nearest to each client's own, nearest first.

        Args:
            clients: names of clients that sent a prompt.
            count: the most names for each.
        """
        return nearest_prompts(self.pool, clients, count)


def _kinds(state: State) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Returns name → shape and number type."""
    return {name: (tuple(value.shape), value.dtype) for name, value in state.items()}

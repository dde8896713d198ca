"""Which prompts of a pool are nearest to each client's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

State = Mapping[str, Tensor]

_CHUNK = 256  # clients whose distances to all others are in memory together


def distance(first: State, second: State) -> float:
    """Returns the L2 distance between two sets of parameters of the same names."""
    squares = ((first[name].double() - second[name].double()).square().sum() for name in first)
    return float(torch.stack(list(squares)).sum().sqrt()) if first else 0.0


def nearest_prompts(
    pool: Mapping[str, State], clients: Sequence[str], count: int
) -> dict[str, list[str]]:
    """Returns, for clients of a pool, those whose prompts are nearest, nearest first.

    All pairs are compared by one matrix product, whose rounding is bounded; what could be among
    the nearest after rounding is compared again by `distance`. So the result is exact. Equally
    near ones follow their names.

    Args:
        pool: client → its prompt; all have the same names and shapes.
        clients: whose neighbours are asked for; each is in the pool.
        count: the most names for each.
    """
    names = list(pool)
    taken = min(count, len(names) - 1)
    if taken < 1 or not pool[names[0]]:
        return {
            client: sorted(name for name in names if name != client)[:count] for client in clients
        }
    flat = torch.stack([_flat(pool[name]) for name in names])
    flat -= flat.mean(0)  # prompts are close to each other; their mean would cost digits
    squares = flat.square().sum(1)
    # |a|² + |b|² - 2ab is off by no more than this, for sums of this many products.
    error = 8 * flat.shape[1] * torch.finfo(flat.dtype).eps * float(squares.max())
    place = {name: index for index, name in enumerate(names)}
    found = {}
    for start in range(0, len(clients), _CHUNK):
        asked = clients[start : start + _CHUNK]
        rows = torch.tensor([place[client] for client in asked])
        far = squares[rows, None] + squares - 2 * flat[rows] @ flat.T
        far[torch.arange(len(asked)), rows] = torch.inf
        within = far.kthvalue(taken, dim=1, keepdim=True).values + 2 * error
        for client, near in zip(asked, far <= within, strict=True):
            others = [names[index] for index in near.nonzero().flatten().tolist()]
            own = pool[client]
            others.sort(key=lambda name: (distance(pool[name], own), name))
            found[client] = others[:count]
    return found


def _flat(state: State) -> Tensor:
    return torch.cat([state[name].double().flatten() for name in sorted(state)])

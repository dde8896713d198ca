"""Differential privacy of what leaves a client: a clipped change with Gaussian noise, and its ε.

What is protected, and against whom. The mechanism is local: each client adds noise before
anything leaves it, so it holds against the server and all other clients. Two sets of images of a
client are neighbours whatever images they hold (all may be replaced), so a clipped change of norm
at most C differs by at most 2C between them. A client sends in several rounds; the budgets of its
rounds add up by Rényi differential privacy. Nothing is gained from sampling of clients, because
the server knows who takes part.

What is not protected: the number of a client's training images, which it sends as its weight,
and the accuracies in the records of a simulation.

Sources: Abadi et al. (arXiv 1607.00133) for clipping and noise; Mironov (arXiv 1702.07476) for
Rényi differential privacy; the accountant is that of Opacus.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec

import torch

from mocoop.errors import UserError
from mocoop.federated.server import State

NOT_INSTALLED = 'Opacus is not installed. Install it: pip install "mocoop[private]"'
REPLACED = 2.0  # the largest distance of two clipped changes, in units of the clip


def check_opacus() -> None:
    """Raises UserError if Opacus, which tells ε, is not installed."""
    if find_spec("opacus") is None:
        raise UserError(NOT_INSTALLED)


def privatize(
    state: State, shared: State, clip: float, noise: float, generator: torch.Generator
) -> State:
    """Returns shared parameters plus a client's change, which is clipped and has noise.

    Args:
        state: the client's parameters that travel, on the CPU.
        shared: the parameters from which it started.
        clip: the largest L2 norm of the change of all parameters together.
        noise: standard deviation of the noise of each number, in units of the clip.
        generator: of the noise. Whoever can guess it can take the noise away.
    """
    change = {name: value.double() - shared[name].double() for name, value in state.items()}
    squares = [value.square().sum() for value in change.values()]
    norm = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    scale = min(1.0, clip / norm) if norm else 1.0
    sent = {}
    for name in sorted(state):  # so that the noise does not depend on the order of the names
        drawn = torch.randn(change[name].shape, generator=generator, dtype=torch.float64)
        private = shared[name].double() + scale * change[name] + noise * clip * drawn
        sent[name] = private.to(state[name].dtype)
    return sent


def noise_generator(seed: int, client: str, number: int) -> torch.Generator:
    """Returns the noise of a client in a round of a simulation, which can be repeated.

    Anyone who knows the seed can repeat it too: it shows what noise costs, and protects nobody
    from those who have the settings.
    """
    text = f"noise/{seed}/{client}/{number}"
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
    return torch.Generator().manual_seed(value)


def epsilon(noise: float, delta: float, rounds: int) -> float:
    """Returns ε of (ε, δ) for a client that has sent its change in a number of rounds.

    Args:
        noise: standard deviation of the noise, in units of the clip.
        delta: δ.
        rounds: rounds in which it took part.

    Raises:
        UserError: if Opacus is missing.
    """
    if not rounds:
        return 0.0
    check_opacus()
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise / REPLACED, 1.0, rounds)]  # (multiplier, sampling, steps)
    return float(accountant.get_epsilon(delta))

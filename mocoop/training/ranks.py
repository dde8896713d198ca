"""Several processes that train one model: how they find each other, and how they end.

`torchrun -m mocoop train` starts them, or `mocoop train --devices 2`. What they share is in
`mocoop.model.ranks`. The first process (rank 0) writes the run; all others work in a folder that
is thrown away, and end with the training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed
from torch import Tensor

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.model.mixture import PromptMixture
from mocoop.model.ranks import Ranks, with_others

RANK, WORLD, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"  # as torchrun sets them
# One process may encode many images while the others wait. One that dies closes its connection,
# which the others notice at once.
LONGEST_WAIT = timedelta(hours=24)


def ranks_asked_for() -> Ranks:
    """Returns this process's place as its environment says; alone without any."""
    try:
        rank, world = int(os.environ.get(RANK) or 0), int(os.environ.get(WORLD) or 1)
    except ValueError as error:
        raise UserError(f"{RANK} and {WORLD} have to be whole numbers ({error}).") from error
    if not 0 <= rank < world:
        raise UserError(f"{RANK} is {rank}, expected 0 to {world - 1}, as {WORLD} is {world}.")
    return Ranks(rank, world)


def check_can_be_shared(config: TrainConfig) -> None:
    """Raises UserError for a training whose result would not be that of one process."""
    record = METHODS[config.method]
    if not record.learns_prompts or not config.epochs:
        raise UserError(
            f"{config.method} learns no prompts in epochs, so there is nothing to share between "
            "processes. Train it in one."
        )
    if config.class_context:
        raise UserError(
            "With class_context every class has a context of its own, which is not shared between "
            "processes. Train it in one, or turn class_context off."
        )
    if config.lora_rank and config.lora_dropout:
        raise UserError(
            "With lora_dropout every process would draw other numbers than one does. Set "
            "lora_dropout to 0, or train in one process."
        )


@contextmanager
def joined(config: TrainConfig) -> Iterator[Ranks]:
    """Yields this process's place among those that train one model, connected with the others.

    Args:
        config: the run's settings; every process has the same ones.

    Raises:
        UserError: for settings that cannot be shared, or if the others cannot be reached.
    """
    ranks = ranks_asked_for()
    if ranks.world == 1:
        yield ranks
        return
    check_can_be_shared(config)
    on_gpu = config.device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        local = int(os.environ.get(LOCAL_RANK) or ranks.rank)
        if local >= torch.cuda.device_count():
            raise UserError(
                f"Process {local + 1} has no GPU: this machine has {torch.cuda.device_count()}. "
                "Start as many processes as GPUs, or choose --device cpu."
            )
        torch.cuda.set_device(local)
    try:
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"Process {ranks.rank + 1} of {ranks.world} cannot reach the others ({error})."
        ) from error
    try:
        yield ranks
    finally:
        torch.distributed.destroy_process_group()


def current() -> Ranks:
    """Returns this process's place among those that are connected; alone without any."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return Ranks()
    return Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())


@contextmanager
def in_turn() -> Iterator[None]:
    """Lets the first process do something before the others: they find it in the cache."""
    ranks = current()
    if ranks.rank > 0:
        with_others(torch.distributed.barrier)
    yield
    if ranks.rank == 0 and ranks.world > 1:
        with_others(torch.distributed.barrier)


def take_from_first(values: Iterable[Tensor]) -> None:
    """Puts the first process's numbers in place of those of all others, if there are any.

    What is chosen by them is then the same everywhere: sums may differ in their last bits.

    Args:
        values: contiguous, of the same shapes in all processes, on the training's device.
    """
    if current().world > 1:
        for value in values:
            with_others(torch.distributed.broadcast, value.detach(), 0)


@contextmanager
def shared(model: PromptMixture, fingerprint: Callable[[], str]) -> Iterator[None]:
    """Trains a model with the other processes, if there are any.

    Args:
        model: the model, equal in all of them.
        fingerprint: returns a hash of all that the training learns from, as hexadecimal digits.

    Raises:
        UserError: if not all processes have the same images, weights and settings.
    """
    ranks = current()
    if ranks.world > 1:
        _check_same(fingerprint(), next(model.parameters()).device)
    model.ranks = ranks
    try:
        yield
    finally:
        model.ranks = Ranks()


def _check_same(fingerprint: str, device: torch.device) -> None:
    """Raises UserError unless all processes have the same hash."""
    digits = torch.tensor(list(bytes.fromhex(fingerprint)), dtype=torch.int32, device=device)
    largest, smallest = digits.clone(), digits.clone()
    for result, which in (
        (largest, torch.distributed.ReduceOp.MAX),
        (smallest, torch.distributed.ReduceOp.MIN),
    ):
        with_others(torch.distributed.all_reduce, result, which)
    if not torch.equal(largest, smallest):
        raise UserError(
            "The processes of this training do not have the same images, weights and settings. "
            "Give all of them the same command, data, and version of MoCoOp."
        )

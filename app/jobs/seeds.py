"""Trainings of the same settings with several seeds: starting them, and finding them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from app.jobs import trainings
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.runs.run import Run, default_runs, list_runs
from mocoop.runs.status import FINISHED

SEEDS = (1, 2, 3)


def missing_seeds(config: TrainConfig, seeds: Sequence[int] = SEEDS) -> tuple[int, ...]:
    """Returns the seeds with which there is no training of these settings, not even a queued one.

    Args:
        config: the settings; its own seed does not count.
        seeds: the wanted seeds.
    """
    there = _by_seed(config)
    return tuple(seed for seed in seeds if seed not in there)


def start_seeds(config: TrainConfig, seeds: Sequence[int] = SEEDS) -> list[Run]:
    """Starts a training for each seed that is missing, one after the other, and returns them.

    Raises:
        UserError: if no seed is missing, or a training cannot be started.
    """
    wanted = missing_seeds(config, seeds)
    if not wanted:
        names = ", ".join(map(str, seeds))
        raise UserError(
            f"Seeds {names} of these settings are trained already, or in the queue. Change a "
            "setting, or delete a run on the Compare page to train it again."
        )
    return [trainings.start_run(replace(config, seed=seed)) for seed in wanted]


def finished_seeds(config: TrainConfig, seeds: Sequence[int] = SEEDS) -> Mapping[int, Run] | None:
    """Returns seed → the newest finished run of these settings; None if a seed is missing.

    Args:
        config: the settings; its own seed does not count.
        seeds: the wanted seeds.
    """
    found = {seed: run for seed, run in _by_seed(config, finished=True).items() if seed in seeds}
    return {seed: found[seed] for seed in seeds} if len(found) == len(seeds) else None


def _by_seed(config: TrainConfig, finished: bool = False) -> dict[int, Run]:
    """Returns seed → the newest run of these settings that is finished, or active too."""
    wanted = replace(config, seed=0).to_dict()
    found: dict[int, Run] = {}
    for run in list_runs([default_runs()]):
        with suppress(UserError):  # the run was deleted after it was listed, or is damaged
            asked, status = trainings.requested(run), run.status()
            counts = status.state == FINISHED or (status.active and not finished)
            if counts and replace(asked, seed=0).to_dict() == wanted:
                found.setdefault(asked.seed, run)
    return found

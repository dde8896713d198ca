"""The settings of a federation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from mocoop.config import TrainConfig
from mocoop.errors import UserError, choose_from
from mocoop.federated.partitions import KINDS
from mocoop.federated.strategies import find_strategy
from mocoop.presets import settings_from


@dataclass(frozen=True)
class FederatedConfig:
    """Who trains together, for how long, and how."""

    data: str = "albums"
    strategy: str = "pfedmoap"
    """A key of `STRATEGIES`."""
    clients: int = 10
    partition: str = "pathological"
    beta: float = 0.5
    """Concentration of the Dirichlet distribution of `dirichlet` and `domain`."""
    rounds: int = 10
    local_epochs: int = 5
    shots: int = 16
    participation: float = 1.0
    """Share of the clients that take part in a round, drawn anew each time; at least one."""
    foreign: int = 9
    """pFedMoAP: the number of other clients' prompts that a client receives."""
    own_weight: float = 0.5
    """pFedMoAP: lambda, the weight of the own prompt's logits beside the mixture's."""
    learning_rate: float = 0.0
    """Of the prompts; 0 takes the method's own."""
    gate_rate: float = 0.2
    """pFedMoAP: the attention gate's learning rate as a multiple of the prompts' rate."""
    most_change: float = 100.0
    """An update whose parameters moved further than this (L2 distance) is refused. With noise it
    may be further away by the length of the noise."""
    clip: float = 0.0
    """Largest L2 norm of the change that a client sends; a longer one is shortened. 0: any."""
    noise: float = 0.0
    """Standard deviation of the Gaussian noise that a client adds to each number that it sends,
    in units of `clip`. 0: none."""
    delta: float = 1e-5
    """The delta of differential privacy, for which the records tell epsilon."""
    seed: int = 1
    backbone: str = "demo"

    def __post_init__(self) -> None:
        find_strategy(self.strategy)
        if self.partition not in KINDS:
            raise choose_from("partition", self.partition, KINDS)
        for name, least in (("clients", 2), ("rounds", 1), ("local_epochs", 1), ("foreign", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        if not 0 < self.participation <= 1:
            raise UserError(
                f"participation must be above 0 and at most 1; got {self.participation}."
            )
        for name in ("own_weight", "learning_rate", "gate_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be a number of at least 0; got {value}.")
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise UserError(f"beta must be greater than 0; got {self.beta}.")
        if not self.most_change > 0:
            raise UserError(f"most_change must be greater than 0; got {self.most_change}.")
        self._check_privacy()
        self.training()  # raises for data, shots, seed or backbone that do not fit

    def _check_privacy(self) -> None:
        for name in ("clip", "noise"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be a number of at least 0; got {value}.")
        if not 0 < self.delta < 1:
            raise UserError(f"delta must be between 0 and 1; got {self.delta}.")
        if self.noise and not self.clip:
            raise UserError(
                "noise needs clip: without a largest change no amount of noise protects a client. "
                "Set clip, for example to the change that a client usually makes."
            )
        if (self.clip or self.noise) and not find_strategy(self.strategy).shared:
            raise UserError(
                f"With strategy {self.strategy} nothing leaves a client, so there is nothing to "
                "clip and no noise to add. Leave clip and noise out, or choose another strategy."
            )

    def training(self) -> TrainConfig:
        """Returns the settings of a client's training; its epochs are those of all rounds."""
        values: dict[str, Any] = {
            "method": find_strategy(self.strategy).method,
            "data": self.data,
            "backbone": self.backbone,
            "shots": self.shots,
            "seed": self.seed,
            "epochs": self.rounds * self.local_epochs,
            "aggregation": "none",
            "steps_per_shot": 0,
        }
        if self.learning_rate:
            values["learning_rate"] = self.learning_rate
        if find_strategy(self.strategy).foreign:
            values |= {"gate_rate": self.gate_rate, "gate_weight": 0.0}
        return settings_from(values)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FederatedConfig:
        """Returns settings from plain values.

        Raises:
            UserError: for unknown names or values of other types.
        """
        kinds = {item.name: type(item.default) for item in fields(cls)}
        for name, value in values.items():
            if name not in kinds:
                raise choose_from("setting", name, tuple(kinds))
            whole = type(value) is int and kinds[name] is float  # JSON has no other 1.0
            if type(value) is not kinds[name] and not whole:
                raise UserError(f"{name} must be {kinds[name].__name__}; got {value!r}.")
        return cls(**values)

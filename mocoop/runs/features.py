"""The text features that a run keeps, and its trained router."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mocoop.errors import PathError

_FEATURE = re.compile(r"(soft|hard)/[0-9]{1,9}|prototypes|gate/[0-9]{1,9}/(weight|bias)")


@dataclass(frozen=True)
class SavedFeatures:
    """Text features that a run keeps, all L2-normalised and fp32."""

    soft: dict[int, Tensor] = field(repr=False)
    """Epoch → (experts, classes, dim); epoch 0 is before training."""
    hard: tuple[Tensor, ...] = field(repr=False)
    """One tensor per group, (templates, classes, dim)."""
    prototypes: Tensor = field(repr=False)
    """(experts, classes, dim)."""
    gates: dict[int, dict[str, Tensor]] = field(default_factory=dict, repr=False)
    """Epoch → the router's `gate.weight` and `gate.bias`; empty with one expert, and in old runs,
    which did not save them."""

    @property
    def last(self) -> Tensor:
        """The soft features after the last saved epoch, (experts, classes, dim)."""
        return self.soft[max(self.soft)]


def features_in(tensors: Mapping[str, Tensor], run: Path) -> SavedFeatures:
    """Returns the text features among the tensors of features.safetensors.

    Args:
        tensors: by name.
        run: the run's folder, for messages.

    Raises:
        UserError: for a tensor of an unknown name, or missing ones.
    """
    unknown = [name for name in tensors if not _FEATURE.fullmatch(name)]
    if unknown:
        raise PathError(
            run / "features.safetensors",
            f" has a tensor of an unknown name: {unknown[0][:60]!r}. Train the run again.",
        )
    soft = {int(k.removeprefix("soft/")): v for k, v in tensors.items() if "soft/" in k}
    hard = [(int(k.removeprefix("hard/")), v) for k, v in tensors.items() if "hard/" in k]
    if not soft or not hard or "prototypes" not in tensors:
        raise PathError(run, " has incomplete features. Train it again.", "Run")
    return SavedFeatures(
        {epoch: soft[epoch].float() for epoch in sorted(soft)},
        tuple(value.float() for _, value in sorted(hard, key=lambda pair: pair[0])),
        tensors["prototypes"].float(),
        _gates(tensors),
    )


def load_gate(weights: Mapping[str, Tensor]) -> torch.nn.Linear | None:
    """Returns the trained router; None for a run with one expert."""
    if "gate.weight" not in weights:
        return None
    experts, dim = weights["gate.weight"].shape
    gate = torch.nn.Linear(dim, experts)
    gate.load_state_dict({"weight": weights["gate.weight"], "bias": weights["gate.bias"]})
    return gate.requires_grad_(False)


def _gates(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Returns epoch → the router's parameters, from keys such as `gate/3/weight`."""
    gates: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("gate/"):
            _, epoch, name = key.split("/")
            gates.setdefault(int(epoch), {})[f"gate.{name}"] = value.float()
    return dict(sorted(gates.items()))

"""What the fitted baselines share: accuracy in percent, and numbers among saved tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mocoop.errors import UserError


def percent_right(logits: Tensor, labels: Tensor) -> float:
    """Returns the share of right predictions in percent."""
    return 100.0 * int((logits.argmax(dim=-1) == labels).sum()) / len(labels)


def as_tensor(value: float) -> Tensor:
    """Returns a 0-d tensor that gives the same number back."""
    return torch.tensor(value, dtype=torch.float64)


def require_tensors(kind: str, tensors: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Raises UserError if one of the names is missing."""
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(
            f"These weights are not those of {kind}: {', '.join(missing)} missing, got "
            f"{', '.join(sorted(tensors)) or 'nothing'}. Train the run again."
        )

"""Prompts that another program trained, to start a run from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from mocoop.errors import UserError
from mocoop.model.mixture import PromptMixture


@dataclass(frozen=True)
class Imported:
    """Prompts that another program trained: a run starts from them instead of its settings'."""

    source: str
    """Where they are from, in words."""
    weights: Mapping[str, torch.Tensor]
    """All learned parameters by name, as a run saves them."""

    def put_into(self, model: PromptMixture) -> None:
        """Puts the parameters into a model.

        Raises:
            UserError: if they are not those of the model.
        """
        try:
            model.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise UserError(
                f"The prompts of {self.source} do not fit the run's settings: "
                f"{' '.join(str(error).split())[:200]}."
            ) from error

"""Prompts that another program trained, to start a run from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError

from mocoop.errors import UserError
from mocoop.model.mixture import PromptMixture
from mocoop.runs.run import Run
from mocoop.storage.atomic import read_tensors, write_tensors
from mocoop.training.snapshots import FOLDER

START = "imported.safetensors"


@dataclass(frozen=True)
class Imported:
    """Prompts that another program trained: a run starts from them instead of its settings'."""

    source: str
    """Where they are from, in words."""
    weights: Mapping[str, torch.Tensor]
    """All learned parameters by name, as a run saves them; empty if they are not known any more,
    as in a stopped run of an earlier version."""

    def put_into(self, model: PromptMixture) -> None:
        """Puts the parameters into a model, if they are known.

        Raises:
            UserError: if they are not those of the model.
        """
        if not self.weights:
            return
        try:
            model.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise UserError(
                f"The prompts of {self.source} do not fit the run's settings: "
                f"{' '.join(str(error).split())[:200]}."
            ) from error

    def keep(self, run: Run) -> None:
        """Writes the parameters beside a run's snapshots: a resumed run knows where it began."""
        if self.weights:
            copies = {name: value.clone() for name, value in self.weights.items()}
            write_tensors(run.path / FOLDER / START, copies)


def imported_start(run: Run) -> Imported | None:
    """Returns the prompts that a stopped run started from; None if they were not imported.

    Raises:
        UserError: if their file is damaged.
    """
    source = run.setup().imported
    if not source:
        return None
    path = run.path / FOLDER / START
    if not path.exists():
        return Imported(source, {})
    try:
        return Imported(source, read_tensors(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}). Train the run again.") from error

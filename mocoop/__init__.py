"""Mixtures of soft prompts for CLIP.

    import mocoop

    run = mocoop.train(mocoop.preset("mocoop", data="details", shots=4))
    answer = mocoop.load_classifier(run).predict(["picture.png"])

The import is fast: torch is only imported when a function is used for the first time.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mocoop.api import (
        evaluate,
        list_runs,
        load_backbone,
        load_classifier,
        load_dataset,
        load_export,
        load_run,
        preset,
        resume,
        train,
    )
    from mocoop.config import TrainConfig
    from mocoop.errors import UserError
    from mocoop.estimator import MoCoOpClassifier
    from mocoop.features.encode import encode_images

__all__ = [
    "MoCoOpClassifier",
    "TrainConfig",
    "UserError",
    "encode_images",
    "evaluate",
    "list_runs",
    "load_backbone",
    "load_classifier",
    "load_dataset",
    "load_export",
    "load_run",
    "preset",
    "resume",
    "train",
]
# Names that do not come from mocoop.api.
_ELSEWHERE = {
    "MoCoOpClassifier": "mocoop.estimator",
    "TrainConfig": "mocoop.config",
    "UserError": "mocoop.errors",
    "encode_images": "mocoop.features.encode",
}

# Waiting threads must not spin: if another program needs a core, they slow each other down. On
# two cores, a training next to a busy browser took five times as long. OpenMP reads this variable
# when torch is loaded; a value that is already set is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    """Returns a public name, imported now (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'mocoop' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "mocoop.api")), name)


def __dir__() -> list[str]:
    """Returns the public names, including those that are not imported yet."""
    return sorted({*globals(), *__all__})

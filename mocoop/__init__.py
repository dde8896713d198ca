"""Mixtures of soft prompts for CLIP.

    import mocoop

    run = mocoop.train(mocoop.preset("mocoop", data="games", shots=4))
    answer = mocoop.load_classifier(run).predict(["picture.png"])

Importing it takes no time: torch is imported when a function is first asked for.
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

# Threads that spin while they wait for each other stall as soon as anything else wants a core: a
# training next to a busy browser took five times as long on two cores. OpenMP reads this when
# torch loads; a value that is set already is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    """Returns a public name, imported now (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'mocoop' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "mocoop.api")), name)


def __dir__() -> list[str]:
    """Returns the public names, those not yet imported included."""
    return sorted({*globals(), *__all__})

"""Which activation a CLIP's weights were trained with, measured on drawn single things.

The weights of a network with GELU also fit one with QuickGELU, and the file does not say which it
is. The network with the right one classifies better. Single things, all of the built-in world,
are told by every CLIP: a scene of several would leave open which one is meant.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mocoop.clip.backbone import Backbone, load_backbone
from mocoop.clip.names import QUICK_GELU, WeightsOf, find_source
from mocoop.errors import UserError, UserNote
from mocoop.features.encode import PICTURES_AT_ONCE, encode_images
from mocoop.world.captions import PLAIN
from mocoop.world.layers import GROUNDS
from mocoop.world.scenes import HARD, Painter, Scene, as_image
from mocoop.world.styles import STYLES
from mocoop.world.things import every_thing

PER_THING = 9  # pictures of each thing: one in each style
STANDARD_ERRORS = 3.0  # by which the cross-entropies must differ
_SEED = 811  # of the pictures
_ROLES = ("large", "small", "cropped")  # of a thing that is alone, in turn
_SCALES = [2 ** (step / 8) for step in range(81)]  # logit scales that are tried, 1 to 1024
Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class SingleThings:
    """Drawn pictures of single things, and what they show."""

    names: tuple[str, ...]
    images: tuple[Image.Image, ...]
    labels: Tensor  # (pictures,), into names


@dataclass(frozen=True)
class Measured:
    """How well one network knows the names of the drawn things."""

    accuracy: float
    """Zero-shot accuracy in percent."""
    cross_entropy: float
    """Mean of -log p(right name) in nats, at the logit scale that is best for this network."""


@dataclass(frozen=True)
class ActivationCheck:
    """The same weights measured with both activations, on the same pictures."""

    architecture: str
    """The name with plain GELU; its twin's ends in -quickgelu."""
    gelu: Measured
    quick_gelu: Measured
    pictures: int
    classes: int
    margin: float
    """The difference of the cross-entropies that counts, in nats: three standard errors of it."""

    @property
    def gain(self) -> float:
        """By how much QuickGELU's cross-entropy is lower, in nats."""
        return self.gelu.cross_entropy - self.quick_gelu.cross_entropy

    @property
    def better(self) -> str:
        """`GELU` or `QuickGELU`, or "" if the difference is within the margin."""
        if abs(self.gain) <= self.margin:
            return ""
        return "QuickGELU" if self.gain > 0 else "GELU"


def split_name(file: str, name: str) -> tuple[str, Path]:
    """Returns the architecture with plain GELU, and the weights file.

    Args:
        file: a path, or ARCHITECTURE/PATH if `name` is empty.
        name: the architecture, with or without -quickgelu.

    Raises:
        UserError: for an unknown architecture or a missing file.
    """
    source = find_source(f"{name}/{file}" if name else file)
    if not isinstance(source, WeightsOf) or not source.architecture:
        raise UserError(
            f"Expected a file of weights and its architecture, got {file!r}: the activation of "
            "others is known, or they have a configuration."
        )
    return source.architecture.removesuffix(QUICK_GELU), source.file


def has_twin(architecture: str) -> bool:
    """Returns whether open_clip has an architecture both with GELU and with QuickGELU."""
    known = open_clip.list_models()
    return architecture in known and f"{architecture}{QUICK_GELU}" in known


def single_things(per_thing: int = PER_THING) -> SingleThings:
    """Returns pictures of every thing of the world, alone, in all styles, hard setting.

    Args:
        per_thing: how many of each.
    """
    painter = Painter()
    things = every_thing()
    images, labels = [], []
    for label, thing in enumerate(things):
        for number in range(per_thing):
            role = _ROLES[(label + number) % len(_ROLES)]
            ground = GROUNDS[(label + number // len(_ROLES)) % len(GROUNDS)]
            scene = Scene({role: thing}, STYLES[number % len(STYLES)], ground)
            rng = np.random.default_rng((_SEED, label, number))
            images.append(as_image(painter.draw(scene, HARD, rng)))
            labels.append(label)
    return SingleThings(tuple(t.name for t in things), tuple(images), torch.tensor(labels))


def check_activation(
    architecture: str,
    file: Path,
    device: str = "auto",
    progress: Progress | None = None,
    pictures: SingleThings | None = None,
) -> ActivationCheck:
    """Returns how well the weights in a file classify with GELU and with QuickGELU.

    Pictures are classified zero-shot with the plain prompt. The judge is the cross-entropy,
    which shows smaller differences than the accuracy; each network has the logit scale that is
    best for it, so that a network that is less sure of itself is not better for that. The
    standard error is that of the mean difference over classes, because pictures of one class go
    wrong together.

    Args:
        architecture: the name with plain GELU; open_clip must have its twin.
        file: the weights.
        device: the torch device.
        progress: called with the numbers of pictures done and in total, of both together.
        pictures: what is classified; `single_things` if None.

    Raises:
        UserError: if the weights do not fit the architecture.
    """
    pictures = pictures or single_things()
    total = 2 * len(pictures.images)
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    losses: list[Tensor] = []
    measured: list[Measured] = []
    for name in (architecture, f"{architecture}{QUICK_GELU}"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserNote)  # it advises to run this check
            backbone = load_backbone(f"{name}/{file}", device)
        loss, right = _measure(backbone, pictures, step)
        losses.append(loss)
        measured.append(Measured(100 * right.double().mean().item(), loss.mean().item()))
    change = class_means(losses[0] - losses[1], pictures.labels)  # (classes,)
    error = change.std().item() / math.sqrt(len(change))
    margin = STANDARD_ERRORS * error
    plain, quick = measured
    return ActivationCheck(architecture, plain, quick, len(losses[0]), len(change), margin)


def _measure(
    backbone: Backbone, pictures: SingleThings, step: Callable[[int], None]
) -> tuple[Tensor, Tensor]:
    """Returns -log p(right name) of the pictures, and which are classified rightly."""
    text = backbone.text.encode_template(PLAIN, pictures.names).cpu()
    parts = []
    for start in range(0, len(pictures.images), PICTURES_AT_ONCE):
        some = pictures.images[start : start + PICTURES_AT_ONCE]
        parts.append(encode_images(backbone, some))
        step(len(some))
    cosines = (torch.cat(parts) @ text.T).double()  # (pictures, classes)
    labels = pictures.labels
    losses = [F.cross_entropy(scale * cosines, labels, reduction="none") for scale in _SCALES]
    best = min(losses, key=lambda loss: float(loss.mean()))
    return best, cosines.argmax(dim=-1) == labels


def class_means(values: Tensor, labels: Tensor) -> Tensor:
    """Returns the mean over the pictures of each class, (classes,)."""
    counts = labels.bincount()
    return values.new_zeros(len(counts)).index_add(0, labels, values) / counts

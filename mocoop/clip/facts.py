"""What a CLIP is: where its weights are, its sizes, its activation, and its speed here."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mocoop.clip.backbone import Backbone, choose_device, make_backbone, open_backbone_model
from mocoop.clip.hub import cached_file
from mocoop.clip.known import weights_of
from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError, UserNote

AT_ONCE = 8  # pictures or texts of a batch whose speed is measured
SENTENCE = "a photo of a cat."


@dataclass(frozen=True)
class BackboneFacts:
    """The facts of a CLIP that was loaded."""

    name: str
    layout: str
    """Whose form its weights have: OpenAI, open_clip or Hugging Face."""
    files: tuple[str, ...]
    """Where its weights are on this machine."""
    bytes: int
    """Size of these files."""
    parameters: int
    image_size: int
    """Height and width of its pictures in pixels."""
    dim: int
    """Width of its features."""
    context_length: int
    """Largest number of tokens of a text."""
    quick_gelu: bool
    soft_prompts: str
    """How prompts are encoded: by the shared-prefix encoder or the plain one, or not at all."""
    fingerprint: str
    images_per_second: float
    """In batches of 8 on this device; 0 if it was not measured."""
    texts_per_second: float
    """The same for a sentence of five words."""


def facts_of(name: str, device: str = "auto", seconds: float = 1.0) -> BackboneFacts:
    """Returns the facts of a CLIP, as `load_backbone` takes it.

    Args:
        name: the CLIP.
        device: where its speed is measured.
        seconds: how long each speed is measured; 0 leaves it out.

    Raises:
        UserError: if it does not load.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserNote)
        opened = open_backbone_model(name)
    backbone = make_backbone(name, opened.model, opened.tokenizer, choose_device(device))
    files = opened.weights
    if not files:
        weights = weights_of(name)
        file = None if weights is None else cached_file(weights)
        files = () if file is None else (file,)
    size = backbone.preprocess.size
    context = opened.model.context_length
    images = torch.zeros(AT_ONCE, 3, *_pair(size), device=backbone.device)
    texts = backbone.tokenizer([SENTENCE] * AT_ONCE).to(backbone.device)
    with torch.no_grad():
        features = backbone.image_features(images[:1])
        speeds = [
            _per_second(step, backbone.device, seconds)
            for step in (
                lambda: backbone.image_features(images),
                lambda: opened.model.encode_text(texts),
            )
        ]
    return BackboneFacts(
        name,
        opened.layout,
        tuple(map(str, files)),
        sum(file.stat().st_size for file in files),
        sum(p.numel() for p in opened.model.parameters()),
        _pair(size)[0],
        features.shape[-1],
        context,
        has_quick_gelu(opened.settings),
        _prompts(backbone),
        backbone.fingerprint,
        *speeds,
    )


def has_quick_gelu(settings: Mapping[str, Any]) -> bool:
    """Returns whether a configuration of open_clip's has QuickGELU."""
    return bool(settings.get("quick_gelu", False))


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _prompts(backbone: Backbone) -> str:
    try:
        tower = TextTower.from_model(backbone.model, backbone.tokenizer)
    except UserError:
        return "none"
    return "shared prefixes" if tower.shares_prefixes else "plain"


def _per_second(step: Callable[[], Tensor], device: torch.device, seconds: float) -> float:
    """Returns how many pictures or texts a second a step does, after one that does not count."""
    if seconds <= 0:
        return 0.0
    step()
    _wait(device)
    started, done, spent = time.perf_counter(), 0, 0.0
    while spent < seconds:
        step()
        _wait(device)
        done, spent = done + AT_ONCE, time.perf_counter() - started
    return done / spent


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

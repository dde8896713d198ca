"""The number of blocks in a CLIP's towers, from its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from open_clip.factory import get_model_config

from mocoop.assets import asset
from mocoop.clip.names import OPEN_CLIP_CONFIG, Folder, Tag, WeightsOf, find_source
from mocoop.config import DEMO
from mocoop.errors import UserError
from mocoop.storage.typed_json import decode

USUAL = 12  # open_clip's default


def tower_depths(name: str) -> tuple[int | None, int | None]:
    """Returns the number of blocks of a CLIP's text tower and of its image tower.

    Nothing is loaded. None stands for a number that the name does not tell, and for a tower
    without such blocks.

    Args:
        name: the CLIP, as `load_backbone` takes it.
    """
    settings = _settings(name)
    text, image = settings.get("text_cfg") or {}, settings.get("vision_cfg") or {}
    if not settings or "hf_model_name" in text or "timm_model_name" in image:
        return None, None
    return _count(text.get("layers", USUAL)), _count(image.get("layers", USUAL))


def _settings(name: str) -> Mapping[str, Any]:
    """Returns open_clip's configuration of a CLIP; empty if the name does not tell it."""
    source: Any = Folder(asset("demo-clip")) if name == DEMO else None
    if source is None:
        with suppress(UserError):  # whoever loads it says what is wrong with the name
            source = find_source(name)
    if isinstance(source, Tag | WeightsOf) and source.architecture:
        return get_model_config(source.architecture) or {}
    if isinstance(source, Folder):
        with suppress(OSError, ValueError, AttributeError):
            content = (source.path / OPEN_CLIP_CONFIG).read_bytes()
            return decode(content, dict[str, Any]).get("model_cfg") or {}
    return {}


def _count(layers: Any) -> int | None:
    """Returns the number of blocks; None for the stages of a ResNet."""
    return layers if isinstance(layers, int) else None

"""How much work a CLIP's towers are, relative to the built-in CLIP's, from their architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import open_clip

# The built-in CLIP: layers and widths of its towers, tokens of an image, length of a feature.
DEMO_TEXT, DEMO_VISION = (3, 128), (6, 160)
DEMO_PATCHES, DEMO_DIM = 65, 128
PER_LAYER = 12  # matrix entries of a transformer layer, by its width squared


@dataclass(frozen=True)
class ClipWork:
    """The work of a CLIP relative to the built-in one's."""

    text: float
    """One text."""
    image: float
    """One image."""
    feature: float
    """One number of work on image features: their length."""


def clip_work(name: str) -> ClipWork | None:
    """Returns the work of a CLIP; None if its architecture is unknown or no plain transformer.

    Args:
        name: as `load_backbone` takes it; the architecture comes before the slash.
    """
    architecture = name.split("/")[0]
    if architecture not in open_clip.list_models():  # for other names open_clip asks the hub
        return None
    config: dict[str, Any] = open_clip.get_model_config(architecture)
    text, vision = config["text_cfg"], config["vision_cfg"]
    plain = isinstance(vision.get("layers"), int) and {"width", "patch_size"} <= set(vision)
    if not plain or not {"width", "layers"} <= set(text):
        return None
    patches = (vision["image_size"] // vision["patch_size"]) ** 2 + 1
    demo_image = _transformer(*DEMO_VISION) * DEMO_PATCHES
    return ClipWork(
        _transformer(text["layers"], text["width"]) / _transformer(*DEMO_TEXT),
        _transformer(vision["layers"], vision["width"]) * patches / demo_image,
        config["embed_dim"] / DEMO_DIM,
    )


def _transformer(layers: int, width: int) -> int:
    """Returns the multiplications of a transformer for one token, without attention's products."""
    return PER_LAYER * layers * width**2

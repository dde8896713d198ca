"""Which thing is to be seen in each patch of a scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mocoop.world.layers import Array, Layer
from mocoop.world.roles import IMAGE_SIZE, ROLES

PATCH_SIZE = 8  # pixels, the side of a patch of the small CLIP
NOBODY = -1
# Share of a patch that its thing covers at least.
_LEAST = 0.06


def patch_roles(layers: Sequence[Layer]) -> Array:
    """Returns the role of the thing that covers most of each patch, int8, (patches,).

    Patches go row by row; NOBODY where no thing covers at least 6 percent of one.

    Args:
        layers: the things, from back to front.
    """
    visible: list[Array] = []
    for layer in layers:
        hidden = layer.cover if layer.hides is None else np.maximum(layer.cover, layer.hides)
        visible = [cover * (1 - hidden) for cover in visible] + [layer.cover]
    along = IMAGE_SIZE // PATCH_SIZE
    cells = np.stack(visible).reshape(len(layers), along, PATCH_SIZE, along, PATCH_SIZE)
    shares = cells.mean(axis=(2, 4)).reshape(len(layers), -1)  # (layers, patches)
    roles = np.array([ROLES.index(layer.role) for layer in layers], np.int8)
    owners = roles[shares.argmax(axis=0)]
    owners[shares.max(axis=0) < _LEAST] = NOBODY
    return owners

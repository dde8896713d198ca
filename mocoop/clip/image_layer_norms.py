"""The image tower's LayerNorms as separate trainable parameters; the tower itself is frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn
from torch.func import functional_call

from mocoop.clip.backbone import Backbone, fingerprint_with
from mocoop.errors import UserError

# The two LayerNorms of every block, which LASP and the mixture tune; not the LayerNorms before
# and after all blocks.
_NORMS = re.compile(r"(^|\.)resblocks\.\d+\.ln_[12]\.(weight|bias)$")


class ImageNorms(nn.Module):
    """Trained copies of `ln_1` and `ln_2` of every block of an image tower.

    Args:
        values: parameter name in the tower → its value.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        # torch does not allow dots in the names of a ParameterDict.
        self.values = nn.ParameterDict(
            {name.replace(".", "/"): value.detach().clone() for name, value in values.items()}
        )

    @classmethod
    def from_tower(cls, tower: nn.Module) -> ImageNorms:
        """Returns copies of the LayerNorms of an image tower.

        Raises:
            UserError: for a tower without such LayerNorms (a ResNet).
        """
        values = {name: p for name, p in tower.named_parameters() if _NORMS.search(name)}
        if not values:
            raise UserError(
                f"This CLIP's image tower ({type(tower).__name__}) has no blocks with ln_1 and "
                "ln_2 to tune. Choose a ViT backbone, or a method without -ln."
            )
        return cls(values)

    def by_name(self) -> dict[str, Tensor]:
        """Returns the trained values by their names in the tower."""
        return {name.replace("/", "."): value for name, value in self.values.items()}

    def forward(self, tower: nn.Module, images: Tensor) -> Tensor:
        """Returns the tower's features (batch, dim), not normalised, with these LayerNorms."""
        return functional_call(tower, self.by_name(), (images,))


def with_norms(backbone: Backbone, weights: Mapping[str, Tensor]) -> Backbone:
    """Returns a backbone whose image tower has a run's trained LayerNorms.

    Args:
        backbone: the frozen CLIP with which the run was trained.
        weights: the run's weights; if they have no LayerNorms, `backbone` itself is returned.
    """
    prefix = "norms.values."
    norms = {
        name.removeprefix(prefix).replace("/", "."): value.to(backbone.device)
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    if not norms:
        return backbone
    return replace(
        backbone,
        image_overrides=norms,
        fingerprint=fingerprint_with(backbone.fingerprint, norms),
        original=backbone,
    )

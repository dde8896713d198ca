"""The image tower's LayerNorms as separate trainable parameters; the tower itself is frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from mocoop.errors import UserError

# The two LayerNorms of every block, which LASP and the mixture tune; not the LayerNorms before
# and after all blocks.
_NORMS = re.compile(r"(^|\.)resblocks\.\d+\.ln_[12]\.(weight|bias)$")


NORMS = "norms.values."
"""What the names of these parameters begin with in a model."""


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
        return names_in_tower({NORMS + name: value for name, value in self.values.items()})


def names_in_tower(norms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns trained LayerNorms by their names in the tower.

    Args:
        norms: the values by their names in a model, which all begin with `NORMS`.
    """
    return {name.removeprefix(NORMS).replace("/", "."): value for name, value in norms.items()}

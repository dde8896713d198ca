"""The full CLIPs that the app offers: what they are, how large they are, their licence."""

from __future__ import annotations

from dataclasses import dataclass

import open_clip

from mocoop.clip.hub import HubWeights, hub_weights
from mocoop.clip.names import repository_in
from mocoop.clip.snapshots import repository_weights

BYTES = 4  # of a parameter, in 32 bits
LAION, DATACOMP, METACLIP = "LAION-2B", "DataComp-1B", "MetaCLIP, 2.5 billion pairs"


@dataclass(frozen=True)
class KnownClip:
    """A CLIP with pretrained weights."""

    name: str
    """open_clip's NAME/TAG, as `load_backbone` takes it."""
    data: str
    """What it was trained on."""
    parameters: int
    """Number of parameters of both towers."""
    image_size: int
    """Height and width of its images in pixels."""
    licence: str = ""
    """SPDX name of the weights' licence; empty if only the page of the weights states it.

    Source: timm's configuration of the same weights.
    """

    @property
    def bytes(self) -> int:
        """Size of its weights with 32 bits for each parameter."""
        return BYTES * self.parameters


_B32, _B16, _L14, _L14_336 = 151_277_313, 149_620_737, 427_616_513, 427_944_193
_OPENAI = "OpenAI's 400 million pairs"
_LISTED = (
    KnownClip("ViT-B-16-quickgelu/openai", _OPENAI, _B16, 224, "apache-2.0"),
    KnownClip("ViT-B-32-quickgelu/openai", _OPENAI, _B32, 224, "apache-2.0"),
    KnownClip("ViT-L-14-quickgelu/openai", _OPENAI, _L14, 224, "apache-2.0"),
    KnownClip("ViT-L-14-336-quickgelu/openai", _OPENAI, _L14_336, 336, "apache-2.0"),
    KnownClip("ViT-B-32/laion2b_s34b_b79k", LAION, _B32, 224),
    KnownClip("ViT-B-16/laion2b_s34b_b88k", LAION, _B16, 224),
    KnownClip("ViT-L-14/laion2b_s32b_b82k", LAION, _L14, 224),
    KnownClip("ViT-B-32/datacomp_xl_s13b_b90k", DATACOMP, _B32, 224),
    KnownClip("ViT-B-16/datacomp_xl_s13b_b90k", DATACOMP, _B16, 224),
    KnownClip("ViT-L-14/datacomp_xl_s13b_b90k", DATACOMP, _L14, 224),
    KnownClip("ViT-B-32-quickgelu/metaclip_fullcc", METACLIP, _B32, 224, "cc-by-nc-4.0"),
    KnownClip("ViT-B-16-quickgelu/metaclip_fullcc", METACLIP, _B16, 224, "cc-by-nc-4.0"),
    KnownClip("ViT-L-14-quickgelu/metaclip_fullcc", METACLIP, _L14, 224, "cc-by-nc-4.0"),
)
KNOWN_CLIPS = {clip.name: clip for clip in _LISTED}


def weights_of(name: str) -> HubWeights | None:
    """Returns where the hub has the weights of a backbone; None for local or unknown ones."""
    repository = repository_in(name)
    if repository:
        return repository_weights(repository)
    architecture, _, tag = name.partition("/")
    return hub_weights(open_clip.get_pretrained_cfg(architecture, tag) or {})

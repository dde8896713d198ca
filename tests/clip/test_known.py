"""What is said of each CLIP agrees with open_clip's and timm's configurations."""

from __future__ import annotations

import open_clip
import pytest
import timm
from open_clip.factory import get_model_config

from mocoop.clip.backbone import check_backbone_name
from mocoop.clip.known import KNOWN_CLIPS, weights_of

ARCHITECTURES = sorted({name.partition("/")[0] for name in KNOWN_CLIPS})


@pytest.mark.parametrize("name", KNOWN_CLIPS)
def test_name_loads_and_licence_is_that_of_the_hub(name):
    check_backbone_name(name)
    weights, known = weights_of(name), KNOWN_CLIPS[name]
    assert weights is not None
    owner, _, model = weights.repository.partition("/")
    if known.licence:
        assert owner == "timm"
        assert timm.models.get_pretrained_cfg(model).license == known.licence


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_size_is_that_of_the_architecture(architecture):
    model = open_clip.create_model(architecture, device="meta")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    image_size = get_model_config(architecture)["vision_cfg"]["image_size"]
    for name, known in KNOWN_CLIPS.items():
        if name.partition("/")[0] == architecture:
            assert (known.parameters, known.image_size) == (parameters, image_size)


def test_local_weights_are_on_no_hub():
    assert weights_of("demo") is None
    assert weights_of("ViT-B-32/weights.safetensors") is None
    assert weights_of("nonsense/openai") is None

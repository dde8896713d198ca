"""Maps of what a grey square changes, beside a plain loop over its places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mocoop.classifiers.base import Routed
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.errors import UserError
from mocoop.evaluation.occlusion import Occlusion, covered, grey_of, occlusion, seen_picture
from mocoop.features.encode import ImageEncoder

SCALE = 20.0


@pytest.fixture
def picture():
    pixels = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def mixture(generator):
    soft = torch.randn(3, 4, 16, generator=generator)
    gate = torch.nn.Linear(16, 3)
    soft = torch.nn.functional.normalize(soft, dim=-1)
    return MixtureClassifier(("a", "b", "c", "d"), ("x", "y", "z"), soft, gate, SCALE, 2)


def test_square_is_centred_in_each_cell_and_cut_at_the_edge():
    grey = torch.tensor([1.0, 2.0, 3.0])
    shown = covered(torch.zeros(3, 8, 8), grey, 0.5, 4)
    assert shown.shape == (16, 3, 8, 8)
    area = (shown[:, 0] != 0).sum(dim=(1, 2)).view(4, 4)
    assert area.tolist() == [[9, 12, 12, 9], [12, 16, 16, 12], [12, 16, 16, 12], [9, 12, 12, 9]]
    third = shown[1 * 4 + 2]  # centre at row 3, column 5
    assert torch.equal(third[:, 3, 5], grey)
    under = torch.zeros(8, 8, dtype=torch.bool)
    under[1:5, 3:7] = True
    assert torch.equal(third[1] == 2.0, under)


def test_a_square_as_large_as_the_picture_leaves_nothing(tiny_backbone):
    encoder = ImageEncoder(tiny_backbone)
    grey = grey_of(encoder)
    only = covered(torch.zeros(3, 8, 8), grey, 1.0, 1)
    assert torch.equal(only[0], grey[:, None, None].expand(3, 8, 8))
    flat = Image.new("RGB", (32, 32), (128, 128, 128))
    torch.testing.assert_close(tiny_backbone.transform(flat)[:, 0, 0], grey, atol=0.01, rtol=0)


def test_seen_picture_is_the_middle_at_the_towers_size(tiny_backbone, picture):
    wide = Image.new("RGB", (64, 32), "red")
    wide.paste(picture, (16, 0))
    assert seen_picture(tiny_backbone, wide).tobytes() == picture.tobytes()


def test_maps_equal_a_loop_over_the_places(tiny_backbone, mixture, picture):
    """Logits are computed here from the features, and not from probabilities."""
    encoder = ImageEncoder(tiny_backbone)
    found = occlusion(encoder, mixture, picture, side=0.4, cells=3)
    seen, grey = tiny_backbone.transform(picture), grey_of(encoder)

    def answers(image):
        feature = tiny_backbone.image_features(image[None])[0]
        logits = SCALE * mixture.soft @ feature  # (experts, classes)
        return logits, mixture.classify(feature[None]).probabilities[0]

    whole, probabilities = answers(seen)
    label = int(probabilities.argmax())
    for row in range(3):
        for column in range(3):
            image = seen.clone()
            for y in range(32):
                for x in range(32):
                    far = max(
                        abs(y + 0.5 - 32 * (row + 0.5) / 3), abs(x + 0.5 - 32 * (column + 0.5) / 3)
                    )
                    if far <= 0.4 * 32 / 2:
                        image[:, y, x] = grey
            logits, changed = answers(image)
            drop = probabilities[label] - changed[label]
            torch.testing.assert_close(found.drop(label)[row, column], drop, atol=1e-5, rtol=0)
            apart = []
            for one in (whole, logits):
                centred = one - one.mean(dim=-1, keepdim=True)
                apart.append(centred[2, label] - centred[0, label])
            moved = found.difference(2, 0, label)[row, column]
            torch.testing.assert_close(moved, apart[0] - apart[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(found.difference(0, 2, label), -found.difference(2, 0, label))


def test_a_probability_of_zero_is_no_infinite_logit():
    sure = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])
    routed = Routed(("a", "b"), ("x", "y"), torch.zeros(1, 2), torch.ones(1, 2), sure, sure[:, 0])
    found = Occlusion(routed, routed, 1)
    assert found.difference(0, 1, 1).tolist() == [[0.0]]


def test_other_squares_are_refused(tiny_backbone, mixture, picture):
    for side, cells in ((0.0, 3), (1.5, 3), (0.5, 0)):
        with pytest.raises(UserError, match=r"Expected a square .* got .* at \d places"):
            occlusion(ImageEncoder(tiny_backbone), mixture, picture, side, cells)

"""Pictures on cards: tall ones do not stretch the others, thin ones stay visible."""

from __future__ import annotations

import pytest
from PIL import Image

from app.routing.upload_view import CARD_WIDTH, TALLEST, THINNEST, on_card


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (4000, 3)])
def test_other_pictures_stay_as_they_are(size):
    image = Image.new("RGB", size, "red")
    assert on_card(image) is image


@pytest.mark.parametrize("size", [(40, 61), (100, 1000), (3, 4000)])
def test_tall_pictures_get_space_beside_them(size):
    shown = on_card(Image.new("RGB", size, "red"))
    assert shown.size == (CARD_WIDTH, CARD_WIDTH * TALLEST)
    assert shown.getpixel((CARD_WIDTH // 2, 100)) == (255, 0, 0, 255)
    assert shown.getpixel((0, 100)) == (0, 0, 0, 0)
    painted = shown.getchannel("A").getbbox()
    assert painted[2] - painted[0] == max(THINNEST, round(shown.height * size[0] / size[1]))

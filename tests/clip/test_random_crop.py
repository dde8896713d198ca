"""Random crops: torchvision's own, pixel for pixel, at the size that the CLIP takes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transform import PreprocessCfg
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from mocoop.clip.random_crop import RandomCrop

SCALES = [(0.08, 1.0), (0.5, 1.0)]
SIZES = [64, 224, (48, 80)]


@pytest.fixture(params=[(90, 61), (61, 90), (400, 300), (20, 200)], ids=str)
def picture(request):
    """A noisy picture: wide, high, large, and too narrow for most crops."""
    pixels = np.random.default_rng(0).integers(0, 256, (*request.param, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def coops_transform(size, scale):
    """Returns CoOp's training transform, as Dassl builds it of torchvision's parts."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(
                size, scale=scale, interpolation=InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(OPENAI_DATASET_MEAN, OPENAI_DATASET_STD),
        ]
    )


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_crops_are_torchvisions(picture, size, scale):
    """With the generator in the same state, every pixel is equal, and so is the flip."""
    crop = RandomCrop.from_settings(PreprocessCfg(size=size), scale)
    theirs = coops_transform(size, scale)
    for seed in range(24):
        found = crop(picture, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expected = theirs(picture)
        assert torch.equal(found, expected)
        assert found.shape == (3, *(size if isinstance(size, tuple) else (size, size)))


def test_the_whole_crop_is_squeezed_to_the_input_size():
    """A wide crop loses nothing at its sides: both ends of a ramp are in the result."""
    ramp = np.tile(np.linspace(0, 255, 400).astype(np.uint8)[None, :, None], (300, 1, 3))
    plain = PreprocessCfg(size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    found = RandomCrop.from_settings(plain, (1.0, 1.0))(Image.fromarray(ramp), 0)
    assert found.min() < 0.02
    assert found.max() > 0.98


def test_crops_of_the_demo_clip(demo_backbone):
    """Size, mean and standard deviation are those of the CLIP's own transform."""
    crop = RandomCrop.from_settings(demo_backbone.preprocess, (1.0, 1.0))
    grey = Image.new("RGB", (90, 90), (100, 150, 200))
    assert crop.size == (64, 64)
    torch.testing.assert_close(crop(grey, 1), demo_backbone.transform(grey))


def test_the_key_tells_scale_and_size():
    keys = {
        RandomCrop.from_settings(PreprocessCfg(size=size), scale).key
        for size in SIZES
        for scale in SCALES
    }
    assert len(keys) == 6


def test_half_of_the_crops_are_mirrored():
    """A picture that is dark on its left is so in about half of the crops."""
    halves = np.zeros((60, 60, 3), np.uint8)
    halves[:, 30:] = 255
    image = Image.fromarray(halves)
    crop = RandomCrop.from_settings(PreprocessCfg(size=16), (0.9, 1.0))
    drawn = [crop(image, seed) for seed in range(200)]
    mirrored = sum(bool(one[:, :, 0].mean() > one[:, :, -1].mean()) for one in drawn)
    assert 70 < mirrored < 130


def test_crops_have_a_generator_of_their_own():
    """Threads that draw at once, and what a program draws itself, change nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    image, crop = Image.fromarray(pixels), RandomCrop.from_settings(PreprocessCfg(16), (0.08, 1.0))
    expected = [crop(image, seed) for seed in range(60)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda seed: crop(image, seed), list(range(60)) * 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, expected[place % 60]) for place, one in enumerate(found))

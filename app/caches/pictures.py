"""Streamlit cache of the features of single pictures: test images, uploads, changed ones."""

from __future__ import annotations

import streamlit as st
from PIL import Image
from torch import Tensor

from app.caches import run_list
from app.caches import runs as run_caches
from app.caches.data import backbone, clip_stamp
from mocoop.clip.device import tower_dtype
from mocoop.features.encode import ImageEncoder
from mocoop.runs.run import Run, open_run
from mocoop.setting_types import Precision


def picture_feature(run: Run, image: Image.Image) -> Tensor:
    """Returns the feature (dim,) of an RGB picture by a run's CLIP; the last 200 are cached.

    Runs that share a frozen CLIP share its features.
    """
    config = run_list.setup_of(run).config
    if config.tunes_images:
        made, inputs = run_list.stamp_of(run), run_caches.inputs_of(run)
        return _tuned_feature(str(run.path), made, inputs, image.size, image.tobytes())
    return plain_feature(config.backbone, config.precision, image)


def plain_feature(clip: str, precision: Precision, image: Image.Image) -> Tensor:
    """Returns the feature (dim,) of an RGB picture by a frozen CLIP."""
    return _feature(clip, clip_stamp(clip), precision, image.size, image.tobytes())


@st.cache_resource(show_spinner=False, max_entries=200)
def _tuned_feature(
    path: str, stamp: float, inputs: str, size: tuple[int, int], pixels: bytes
) -> Tensor:
    encoder = run_caches.encoder(open_run(path))
    return encoder.pictures([Image.frombytes("RGB", size, pixels)])[0]


@st.cache_resource(show_spinner=False, max_entries=200)
def _feature(
    clip: str, stamp: str, precision: Precision, size: tuple[int, int], pixels: bytes
) -> Tensor:
    loaded = backbone(clip)
    encoder = ImageEncoder(loaded, tower_dtype(precision, loaded.device))
    return encoder.pictures([Image.frombytes("RGB", size, pixels)])[0]

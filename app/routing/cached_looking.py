"""Streamlit caches of what the image tower attends to, and of what covering a picture changes.

The keys hold the run, its inputs and the picture's pixels.
"""

from __future__ import annotations

import streamlit as st
import torch
from PIL import Image, ImageOps

from app.caches import runs as run_caches
from app.caches.data import as_png
from app.caches.run_list import stamp_of
from app.caches.runs import inputs_of
from app.routing import looking_words as words
from mocoop.analysis.attention import TowerAttention, tower_attention
from mocoop.evaluation.occlusion import Occlusion, occlusion, seen_picture
from mocoop.runs.run import Run, open_run

SIDE = 320  # pixels of the picture below a map


def attention_of(run: Run, image: Image.Image, expert: int = 0) -> TowerAttention:
    """Returns the attention in a run's image tower for an RGB picture, a batch of 1.

    Args:
        run: the run.
        image: the picture.
        expert: index of an expert, which counts where each has tokens of its own in the tower.

    Raises:
        UserError: for an image tower without attention over patches.
    """
    key = str(run.path), stamp_of(run), inputs_of(run)
    return _attention(*key, image.size, image.tobytes(), expert)


@st.cache_resource(show_spinner=words.LOOKING, max_entries=8)
def _attention(
    path: str, stamp: float, inputs: str, size: tuple[int, int], pixels: bytes, expert: int
) -> TowerAttention:
    clip = run_caches.run_backbone(open_run(path))
    seen = clip.transform(Image.frombytes("RGB", size, pixels))
    return tower_attention(clip, torch.stack([seen]), expert)


def occlusion_of(run: Run, image: Image.Image, side: float, labels: range | None) -> Occlusion:
    """Returns a run's answers for an RGB picture with a grey square at each place.

    Args:
        run: the run.
        image: the picture.
        side: the square's side as a share of the picture's.
        labels: the classes that can be predicted; by default all that the run knows.
    """
    among = None if labels is None else (labels.start, labels.stop)
    key = str(run.path), stamp_of(run), inputs_of(run)
    return _occlusion(*key, image.size, image.tobytes(), side, among)


@st.cache_resource(show_spinner=words.COVERING, max_entries=32)
def _occlusion(
    path: str,
    stamp: float,
    inputs: str,
    size: tuple[int, int],
    pixels: bytes,
    side: float,
    among: tuple[int, int] | None,
) -> Occlusion:
    run = open_run(path)
    classifier = run_caches.classifier(run)
    if among is not None:
        classifier = classifier.subset(range(*among))
    picture = Image.frombytes("RGB", size, pixels)
    return occlusion(run_caches.encoder(run), classifier, picture, side)


def seen_png(run: Run, image: Image.Image) -> bytes:
    """Returns what a run's image tower sees of an RGB picture, as a PNG.

    It is grey, so that the colours of a map over it mean one thing only.
    """
    seen = seen_picture(run_caches.run_backbone(run), image)
    return as_png(ImageOps.grayscale(seen), SIDE)

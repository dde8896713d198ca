"""What a page says while it loads a CLIP and the features of images."""

from __future__ import annotations

from contextlib import AbstractContextManager

import streamlit as st

from app.common.words import data_label
from app.ui import words
from mocoop.config import TrainConfig


def loading(config: TrainConfig) -> AbstractContextManager[None]:
    """Shows, until the block has ended, which CLIP and whose test images are being loaded.

    With a large CLIP the first time takes many seconds, so the page shows its title first.

    Args:
        config: the settings of a run.
    """
    return st.spinner(words.loading(config.backbone, data_label(config.data)))

"""The small CLIP of scenes: built, fed with pictures and captions, and written to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP
from open_clip.pos_embed import get_2d_sincos_pos_embed
from torch import Tensor, nn

from mocoop.small_clip.config import SmallClipConfig
from mocoop.storage.atomic import write_json, write_tensors

WAVES = 0.5  # height of the waves that the embeddings of places start from
WEIGHTS = "open_clip_model.safetensors"
PREPROCESS = {
    "size": [64, 64],
    "mode": "RGB",
    "mean": list(open_clip.OPENAI_DATASET_MEAN),
    "std": list(open_clip.OPENAI_DATASET_STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}


def build_model(config: SmallClipConfig) -> CLIP:
    """Returns an untrained small CLIP whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = CLIP(**config.model)
    if config.places == "waves":
        # Neighbouring patches start alike, so that a shape is known again where it moves to.
        places = model.visual.positional_embedding
        waves = get_2d_sincos_pos_embed(config.width, model.visual.grid_size[0], cls_token=True)
        places.data.copy_(WAVES * torch.from_numpy(waves))
    return model


def build_patch_head(config: SmallClipConfig) -> nn.Module:
    """Returns what maps patches to the joint embedding while training; it is not kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, config.model["embed_dim"])
        )


def save_model(model: CLIP, folder: Path, config: SmallClipConfig, step: int) -> None:
    """Writes fp16 safetensors and the open_clip config, each file whole."""
    weights = {name: value.half() for name, value in model.state_dict().items()}
    write_tensors(folder / WEIGHTS, weights, {"step": str(step)})
    description = {"model_cfg": config.model, "preprocess_cfg": PREPROCESS}
    write_json(folder / "open_clip_config.json", description)


def normalised(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Returns uint8 pictures (batch, 3, height, width) as the model's input, float."""
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD, device=device).view(3, 1, 1)
    pictures = torch.from_numpy(pixels).to(device, non_blocking=True)
    return (pictures.float() / 255.0 - mean) / std


class TokenBook:
    """Token ids of captions; each piece of text around a name is tokenised once."""

    def __init__(self) -> None:
        self.tokenizer = open_clip.SimpleTokenizer()
        self._pieces: dict[str, list[int]] = {}

    def tokens(self, captions: Sequence[tuple[str, ...]]) -> Tensor:
        """Returns token ids (captions, tokens), as long as the longest caption.

        Args:
            captions: the pieces of each, which are tokenised apart; a piece is a run of words
                or of punctuation.
        """
        start, end = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        rows = [
            [start, *(token for piece in pieces for token in self._piece(piece)), end]
            for pieces in captions
        ]
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = ids
        return torch.from_numpy(tokens)

    def _piece(self, text: str) -> list[int]:
        if text not in self._pieces:
            self._pieces[text] = self.tokenizer.encode(text)
        return self._pieces[text]

"""A small random CLIP with three blocks in each tower, for prompts in several blocks."""

from __future__ import annotations

import open_clip
import torch
from open_clip.model import CLIP

from mocoop.clip.backbone import make_backbone
from tests.support.tiny import TINY_CONFIG, unsettle

DEPTH = 3


def deep_clip(seed=0, vision=None, text=None):
    """Returns a small random CLIP with changes to the settings of its towers."""
    vision_cfg = TINY_CONFIG["vision_cfg"] | {"layers": DEPTH} | (vision or {})
    text_cfg = TINY_CONFIG["text_cfg"] | {"layers": DEPTH} | (text or {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embed = {"embed_dim": TINY_CONFIG["embed_dim"]}
        model = CLIP(**embed, vision_cfg=vision_cfg, text_cfg=text_cfg)
        unsettle(model)
    return model.eval().requires_grad_(False)


def deep_backbone(**changes):
    """Returns this CLIP as a backbone."""
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    return make_backbone("deep", deep_clip(**changes), tokenizer, torch.device("cpu"))

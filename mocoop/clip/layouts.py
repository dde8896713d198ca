"""How programs name and store a CLIP's weights: OpenAI, open_clip and Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import open_clip
import torch
from open_clip.factory import get_model_config
from torch import Tensor

from mocoop.errors import UserError

Tensors = Mapping[str, Tensor]
Settings = Mapping[str, Any]
OPENAI_ENTRIES = ("input_resolution", "context_length", "vocab_size")
"""Whole numbers beside the weights, which only OpenAI's program stores."""

HEAD_WIDTH = 64  # of every CLIP of OpenAI's
SHOWN = 3  # differences that a message names
SPARE = 200_000_000  # parameters that a configuration may have beyond four times its weights
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}
_RESAMPLE = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers

# Hugging Face's names → open_clip's; the layers' are the same in both towers.
_TOP = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # spelled like this
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "logit_scale": "logit_scale",
}
_TOWERS = {"text_model": "transformer", "vision_model": "visual.transformer"}
_PARTS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_LAYER = re.compile(r"(text_model|vision_model)\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def is_openai(tensors: Tensors) -> bool:
    """Returns whether weights have the entries that only OpenAI's program stores."""
    return any(name in tensors for name in OPENAI_ENTRIES)


def is_hugging_face(tensors: Tensors) -> bool:
    """Returns whether weights have the names of Hugging Face's CLIPModel."""
    return "text_model.embeddings.token_embedding.weight" in tensors


def from_hugging_face(tensors: Tensors) -> dict[str, Tensor]:
    """Returns the weights of a CLIPModel under open_clip's names.

    Names that open_clip has nothing for are kept, so that they are reported.
    """
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        layer = _LAYER.fullmatch(name)
        if name.endswith("position_ids"):  # 0, 1, 2 ...: no weights
            continue
        if name == "visual_projection.weight":
            found["visual.proj"] = value.T
        elif name == "text_projection.weight":
            found["text_projection"] = value.T
        elif layer is None:
            found[_TOP.get(name, name)] = value
        else:
            tower, number, part, kind = layer.groups()
            block = f"{_TOWERS[tower]}.resblocks.{number}"
            if part in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                if part == "self_attn.q_proj":
                    stem = name.removesuffix(f"q_proj.{kind}")
                    parts = [tensors.get(f"{stem}{letter}_proj.{kind}") for letter in "qkv"]
                    whole = [part for part in parts if part is not None]
                    found[f"{block}.attn.in_proj_{kind}"] = torch.cat(whole)
            else:
                found[f"{block}.{_PARTS.get(part, part)}.{kind}"] = value
    return found


def hugging_face_settings(config: Settings) -> dict[str, Any]:
    """Returns open_clip's configuration of a CLIPModel, from its config.json.

    Raises:
        UserError: for another model than CLIP, or a part that open_clip does not have.
    """
    if config.get("model_type") != "clip":
        raise UserError(
            f"config.json describes a model of type {config.get('model_type')!r}: expected "
            "'clip', Hugging Face's CLIPModel."
        )
    text, vision = dict(config.get("text_config") or {}), dict(config.get("vision_config") or {})
    acts = {tower.get("hidden_act", "quick_gelu") for tower in (text, vision)}
    if len(acts) > 1 or not acts <= set(_ACTIVATIONS):
        raise UserError(
            f"config.json has the activation {' and '.join(sorted(map(str, acts)))}: expected "
            "quick_gelu or gelu, the same in both towers."
        )
    width, seen = text.get("hidden_size", 512), vision.get("hidden_size", 768)
    norms = [{"eps": tower.get("layer_norm_eps", 1e-5)} for tower in (vision, text)]
    return {
        "embed_dim": config.get("projection_dim", 512),
        "quick_gelu": _ACTIVATIONS[acts.pop()],
        "vision_cfg": {
            "image_size": vision.get("image_size", 224),
            "patch_size": vision.get("patch_size", 32),
            "width": seen,
            "layers": vision.get("num_hidden_layers", 12),
            "head_width": seen // vision.get("num_attention_heads", 12),
            "mlp_ratio": vision.get("intermediate_size", 3072) / seen,
            "norm_kwargs": norms[0],
        },
        "text_cfg": {
            "context_length": text.get("max_position_embeddings", 77),
            "vocab_size": text.get("vocab_size", 49408),
            "width": width,
            "heads": text.get("num_attention_heads", 8),
            "layers": text.get("num_hidden_layers", 12),
            "mlp_ratio": text.get("intermediate_size", 2048) / width,
            "norm_kwargs": norms[1],
        },
    }


def hugging_face_transform(config: Settings) -> dict[str, Any]:
    """Returns open_clip's settings of the image transform, from preprocessor_config.json.

    Raises:
        UserError: for a transform that open_clip does not have.
    """
    size, crop = config.get("size", 224), config.get("crop_size", 224)
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size
    side = crop.get("height") if isinstance(crop, Mapping) else crop
    if shortest is None:
        shortest, mode = size.get("height"), "squash"
    else:
        mode = "shortest"
    interpolation = _RESAMPLE.get(config.get("resample", 3))
    if interpolation is None or shortest != side:
        raise UserError(
            f"preprocessor_config.json resizes to {shortest} and crops to {side} with resample "
            f"{config.get('resample')}: expected one size, and 2 (bilinear) or 3 (bicubic)."
        )
    found: dict[str, Any] = {"interpolation": interpolation, "resize_mode": mode}
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        if theirs in config:
            found[ours] = tuple(config[theirs])
    return found


def settings_of_shapes(tensors: Tensors, quick_gelu: bool) -> dict[str, Any]:
    """Returns open_clip's configuration of weights in OpenAI's layout, from their shapes.

    Attention heads are 64 wide, as in every CLIP of OpenAI's: the shapes do not tell it.

    Raises:
        KeyError, IndexError: for weights of another layout.
    """
    width = tensors["ln_final.weight"].shape[0]
    seen: dict[str, Any]
    if "visual.proj" in tensors:
        first = tensors["visual.conv1.weight"]
        side = round((tensors["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        seen = {
            "layers": _count(tensors, r"visual\.transformer\.resblocks\.(\d+)\."),
            "width": first.shape[0],
            "patch_size": first.shape[-1],
            "image_size": first.shape[-1] * side,
        }
    else:  # a ResNet, whose images are 32 times as large as its last grid
        side = round((tensors["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
        counts = [_count(tensors, rf"visual\.layer{n}\.(\d+)\.") for n in (1, 2, 3, 4)]
        seen = {
            "layers": tuple(counts),
            "width": tensors["visual.layer1.0.conv1.weight"].shape[0],
            "patch_size": None,
            "image_size": 32 * side,
        }
    return {
        "embed_dim": tensors["text_projection"].shape[1],
        "quick_gelu": quick_gelu,
        "vision_cfg": seen,
        "text_cfg": {
            "context_length": tensors["positional_embedding"].shape[0],
            "vocab_size": tensors["token_embedding.weight"].shape[0],
            "width": width,
            "heads": max(1, width // HEAD_WIDTH),
            "layers": _count(tensors, r"transformer\.resblocks\.(\d+)\."),
        },
    }


def fitting_architectures(tensors: Tensors) -> list[str]:
    """Returns the names of open_clip's architectures that weights in its layout are for.

    Twins with another activation are among them: weights do not tell the activation.
    """
    plain = {name.removeprefix("text."): value for name, value in tensors.items()}
    try:
        wanted = _measures(settings_of_shapes(plain, quick_gelu=False))
    except (KeyError, IndexError):
        return []
    return [
        name
        for name in open_clip.list_models()
        if _measures(get_model_config(name) or {}) == wanted
    ]


def differences(expected: Tensors, found: Tensors) -> list[str]:
    """Returns in words how weights differ from those that a model has, in the model's order."""
    lines = []
    for name, value in expected.items():
        if name not in found:
            lines.append(f"{name} is missing")
        elif found[name].shape != value.shape:
            shapes = tuple(found[name].shape), tuple(value.shape)
            lines.append(f"{name} is {shapes[0]} instead of {shapes[1]}")
    return lines + [f"{name} is not known" for name in sorted(set(found) - set(expected))]


def check_numbers(name: str, value: Tensor) -> None:
    """Raises UserError for weights that are not finite floating-point numbers."""
    if not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise UserError(
            f"{name} holds {kind} numbers: expected floating point. Quantized weights must be "
            "converted back by the program that wrote them."
        )
    numbers = value.float()
    # A sum is finite only if all of its terms are, and thirty times faster than the look at each.
    if not numbers.sum().isfinite() and not numbers.isfinite().all():
        raise UserError(
            f"{name} holds values that are no numbers (NaN or infinite). The file is damaged, or "
            "its training failed: take another checkpoint."
        )


def check_claim(config: Settings, tensors: Tensors) -> None:
    """Raises UserError for a configuration of far more parameters than its weights have.

    It would fill the memory before the first difference could be named.
    """
    seen, text = dict(config.get("vision_cfg") or {}), dict(config.get("text_cfg") or {})
    towers = [(seen, 768), *([(text, 512)] if "hf_model_name" not in text else [])]
    claimed = 0.0
    for tower, usual in towers:
        layers, width = tower.get("layers", 12), tower.get("width", usual)
        blocks = sum(layers) if isinstance(layers, list | tuple) else layers
        inner = 4 + 2 * tower.get("mlp_ratio", 4.0)
        rows = tower.get("vocab_size", 0) + tower.get("context_length", 0)
        patch = tower.get("patch_size", 16)
        grid = (_largest(tower.get("image_size", 0)) / patch) ** 2
        claimed += abs(blocks) * (inner * width**2 + 1)
        claimed += abs(width) * (rows + grid + 3 * patch**2 + abs(config.get("embed_dim", 512)))
    stored = sum(value.numel() for value in tensors.values())
    if not claimed <= 4 * stored + SPARE:
        raise UserError(
            f"the configuration is of a CLIP of about {claimed:.2g} parameters, and the weights "
            f"have {stored:,}"
        )


def _largest(size: Any) -> float:
    return max(size) if isinstance(size, list | tuple) else size


def misfit_words(expected: Tensors, found: Tensors) -> str:
    """Returns the first differences in words, and which architecture would fit; "" if none."""
    lines = differences(expected, found)
    if not lines:
        return ""
    more = len(lines) - SHOWN
    text = "; ".join(lines[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
    names = fitting_architectures(found)
    fits = f" They would fit {' or '.join(names)}." if names else ""
    return f"{text}.{fits}"


def _count(tensors: Tensors, pattern: str) -> int:
    """Returns the number of layers whose names match, with their number as the first group."""
    return len({found[1] for name in tensors if (found := re.match(pattern, name))})


def _measures(config: Settings) -> tuple[Any, ...] | None:
    """Returns what the shapes tell of a configuration; None if more than sizes describe it."""
    seen, text = dict(config.get("vision_cfg") or {}), dict(config.get("text_cfg") or {})
    special = ("timm_model_name", "attentional_pool", "no_ln_pre", "ls_init_value", "block_type")
    if not seen or "multimodal_cfg" in config or "hf_model_name" in text:
        return None
    if any(seen.get(name) for name in special) or text.get("embed_cls"):
        return None
    layers = seen.get("layers", 12)
    return (
        config.get("embed_dim"),
        tuple(layers) if isinstance(layers, list | tuple) else layers,
        seen.get("width", 768),
        seen.get("patch_size", 16) if isinstance(layers, int) else None,
        seen.get("image_size", 224),
        text.get("context_length", 77),
        text.get("vocab_size", 49408),
        text.get("width", 512),
        text.get("layers", 12),
    )

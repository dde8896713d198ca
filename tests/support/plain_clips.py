"""CLIPs as OpenAI and Hugging Face store them, small and random, and their forward passes.

The forward passes are written from the papers' formulas and use only the tensors by their original
names; nothing of open_clip or of this library is in them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

IMAGE, PATCH, DIM, VOCABULARY, CONTEXT = 32, 16, 24, 49408, 77
HEADS = {"vision_model": 4, "text_model": 2}  # of the CLIP in Hugging Face's form
ENTRIES = {"input_resolution": IMAGE, "context_length": CONTEXT, "vocab_size": VOCABULARY}


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def _random(generator, *shape, std=0.2):
    return std * torch.randn(*shape, generator=generator)


def openai_clip(seed=0, layers=2, seen=128, width=64):
    """Returns the weights of a small ViT CLIP by OpenAI's names, in fp32."""
    g = torch.Generator().manual_seed(seed)
    sd = {
        "positional_embedding": _random(g, CONTEXT, width),
        "text_projection": _random(g, width, DIM),
        "logit_scale": torch.tensor(2.6),
        "visual.class_embedding": _random(g, seen),
        "visual.positional_embedding": _random(g, (IMAGE // PATCH) ** 2 + 1, seen),
        "visual.proj": _random(g, seen, DIM),
        "visual.conv1.weight": _random(g, seen, 3, PATCH, PATCH, std=0.05),
        "token_embedding.weight": _random(g, 256, width).repeat(193, 1),  # is made quickly
    }
    norms = [("visual.ln_pre", seen), ("visual.ln_post", seen), ("ln_final", width)]
    for tower, size in (("visual.transformer", seen), ("transformer", width)):
        for number in range(layers):
            block = f"{tower}.resblocks.{number}"
            norms += [(f"{block}.ln_1", size), (f"{block}.ln_2", size)]
            sd |= {
                f"{block}.attn.in_proj_weight": _random(g, 3 * size, size),
                f"{block}.attn.in_proj_bias": _random(g, 3 * size),
                f"{block}.attn.out_proj.weight": _random(g, size, size),
                f"{block}.attn.out_proj.bias": _random(g, size),
                f"{block}.mlp.c_fc.weight": _random(g, 4 * size, size),
                f"{block}.mlp.c_fc.bias": _random(g, 4 * size),
                f"{block}.mlp.c_proj.weight": _random(g, size, 4 * size, std=0.1),
                f"{block}.mlp.c_proj.bias": _random(g, size),
            }
    for name, size in norms:
        sd |= {f"{name}.weight": 1 + _random(g, size), f"{name}.bias": _random(g, size)}
    return sd


def as_openai_stores(sd):
    """Returns the weights with the dtypes of OpenAI's files: half, but for some of them."""
    kept = ("ln_", "positional", "class_emb", "token_emb", "logit_scale")
    half = {n: v if any(k in n for k in kept) else v.half() for n, v in sd.items()}
    return half | {name: torch.tensor(value) for name, value in ENTRIES.items()}


def openai_features(sd, images, tokens, act=quick_gelu, head=64, ends=None):
    """Returns image and text features (batch, dim), not normalised, in fp32.

    `ends` is where a text is read; by default its token with the largest number, [EOS].
    """
    sd = {name: value.float() for name, value in sd.items()}

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], sd[f"{name}.weight"], sd[f"{name}.bias"])

    def linear(x, name):
        return x @ sd[f"{name}.weight"].T + sd[f"{name}.bias"]

    def tower(x, name, causal):
        number = 0
        while f"{name}.resblocks.{number}.ln_1.weight" in sd:
            block = f"{name}.resblocks.{number}"
            inner = norm(x, f"{block}.ln_1")
            attn = f"{block}.attn"
            q, k, v = (inner @ sd[f"{attn}.in_proj_weight"].T + sd[f"{attn}.in_proj_bias"]).chunk(
                3, dim=-1
            )
            x = x + linear(_attend(q, k, v, x.shape[-1] // head, causal), f"{attn}.out_proj")
            inner = act(linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc"))
            x = x + linear(inner, f"{block}.mlp.c_proj")
            number += 1
        return x

    patches = F.conv2d(images, sd["visual.conv1.weight"], stride=PATCH).flatten(2).mT
    first = sd["visual.class_embedding"].expand(len(images), 1, -1)
    x = torch.cat([first, patches], dim=1) + sd["visual.positional_embedding"]
    x = tower(norm(x, "visual.ln_pre"), "visual.transformer", causal=False)
    seen = norm(x[:, 0], "visual.ln_post") @ sd["visual.proj"]
    x = sd["token_embedding.weight"][tokens] + sd["positional_embedding"]
    x = norm(tower(x, "transformer", causal=True), "ln_final")
    ends = tokens.argmax(dim=-1) if ends is None else ends
    read = x[torch.arange(len(tokens)), ends] @ sd["text_projection"]
    return seen, read


def hugging_face_clip(seed=0, act="quick_gelu", layers=2, seen=32, width=16):
    """Returns a CLIPModel's config.json and weights by Hugging Face's names, in fp32."""
    g = torch.Generator().manual_seed(seed)
    sd = {
        "logit_scale": torch.tensor(2.6),
        "visual_projection.weight": _random(g, DIM, seen),
        "text_projection.weight": _random(g, DIM, width),
        "text_model.embeddings.token_embedding.weight": _random(g, 256, width).repeat(193, 1),
        "text_model.embeddings.position_embedding.weight": _random(g, CONTEXT, width),
        "text_model.embeddings.position_ids": torch.arange(CONTEXT)[None],
        "vision_model.embeddings.class_embedding": _random(g, seen),
        "vision_model.embeddings.patch_embedding.weight": _random(g, seen, 3, PATCH, PATCH),
        "vision_model.embeddings.position_embedding.weight": _random(g, 5, seen),
        "vision_model.embeddings.position_ids": torch.arange(5)[None],
    }
    norms = [
        ("vision_model.pre_layrnorm", seen),
        ("vision_model.post_layernorm", seen),
        ("text_model.final_layer_norm", width),
    ]
    towers = {"vision_model": (seen, 3 * seen), "text_model": (width, 5 * width)}
    for tower, (size, inner) in towers.items():
        for number in range(layers):
            layer = f"{tower}.encoder.layers.{number}"
            norms += [(f"{layer}.layer_norm1", size), (f"{layer}.layer_norm2", size)]
            shapes = {f"self_attn.{n}_proj": (size, size) for n in ("q", "k", "v", "out")}
            shapes |= {"mlp.fc1": (inner, size), "mlp.fc2": (size, inner)}
            for name, shape in shapes.items():
                sd[f"{layer}.{name}.weight"] = _random(g, *shape)
                sd[f"{layer}.{name}.bias"] = _random(g, shape[0])
    for name, size in norms:
        sd |= {f"{name}.weight": 1 + _random(g, size), f"{name}.bias": _random(g, size)}
    text, vision = (
        {"hidden_size": size, "intermediate_size": inner, "num_hidden_layers": layers,
         "num_attention_heads": HEADS[name], "hidden_act": act, "layer_norm_eps": 1e-5}
        for name, (size, inner) in reversed(towers.items())
    )  # fmt: skip
    config = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": DIM,
        "text_config": text | {"vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT},
        "vision_config": vision | {"image_size": IMAGE, "patch_size": PATCH},
    }
    return config, sd


def hugging_face_features(sd, images, tokens, act=quick_gelu):
    """Returns image and text features (batch, dim), not normalised, in fp32."""
    sd = {name: value.float() for name, value in sd.items()}

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], sd[f"{name}.weight"], sd[f"{name}.bias"])

    def linear(x, name):
        return x @ sd[f"{name}.weight"].T + sd[f"{name}.bias"]

    def tower(x, name, causal):
        number = 0
        while f"{name}.encoder.layers.{number}.mlp.fc1.bias" in sd:
            layer = f"{name}.encoder.layers.{number}"
            inner = norm(x, f"{layer}.layer_norm1")
            q, k, v = (linear(inner, f"{layer}.self_attn.{n}_proj") for n in "qkv")
            mixed = _attend(q, k, v, HEADS[name], causal)
            x = x + linear(mixed, f"{layer}.self_attn.out_proj")
            inner = act(linear(norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1"))
            x = x + linear(inner, f"{layer}.mlp.fc2")
            number += 1
        return x

    seen, read = "vision_model.embeddings", "text_model.embeddings"
    patches = F.conv2d(images, sd[f"{seen}.patch_embedding.weight"], stride=PATCH).flatten(2).mT
    first = sd[f"{seen}.class_embedding"].expand(len(images), 1, -1)
    x = torch.cat([first, patches], dim=1) + sd[f"{seen}.position_embedding.weight"]
    x = tower(norm(x, "vision_model.pre_layrnorm"), "vision_model", causal=False)
    image = norm(x[:, 0], "vision_model.post_layernorm") @ sd["visual_projection.weight"].T
    x = sd[f"{read}.token_embedding.weight"][tokens] + sd[f"{read}.position_embedding.weight"]
    x = norm(tower(x, "text_model", causal=True), "text_model.final_layer_norm")
    last = x[torch.arange(len(tokens)), tokens.argmax(dim=-1)]
    return image, last @ sd["text_projection.weight"].T


def _attend(q, k, v, heads, causal):
    """Returns the attention of all heads, (batch, tokens, width)."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if causal:
        later = torch.ones(scores.shape[-2:]).triu(1).bool()
        scores = scores.masked_fill(later, float("-inf"))
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)

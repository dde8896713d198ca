"""Reads the learned prompts in checkpoints of CoOp, CoCoOp and MoCoOp, as their authors' code
stores them with Dassl: `prompt_learner/model.pth.tar-50`.

Sources: KaiyangZhou/CoOp (trainers/coop.py, trainers/cocoop.py) and dyabel/mocoop
(prompting/moe.py), whose files hold the whole model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mocoop.errors import UserError
from mocoop.storage.weights_file import read_weights

Kind = Literal["one prompt", "conditional", "mixture"]
ONE: Kind = "one prompt"
CONDITIONAL: Kind = "conditional"
EXPERTS: Kind = "mixture"

META_NET = {
    "meta_net.linear1.weight": "shift.squeeze.weight",
    "meta_net.linear1.bias": "shift.squeeze.bias",
    "meta_net.linear2.weight": "shift.expand.weight",
    "meta_net.linear2.bias": "shift.expand.bias",
}
"""CoCoOp's names → ours."""
_GATE = ("gate.weight", "gate.bias")
# Computed from class names and templates, or parts of the frozen CLIP: not learned.
_FIXED = re.compile(r"token_(prefix|suffix)\w*|class_text_features|grouped_prototypes")
_CLIP = re.compile(r"(image_encoder|text_encoder)\.|logit_scale$")
_NORM = re.compile(r"image_encoder\.(.*resblocks\.\d+\.ln_[12]\.(?:weight|bias))")
_LISTED = 3  # unknown names that a message lists


@dataclass(frozen=True)
class CoOpFile:
    """The learned values of a checkpoint, in fp32."""

    kind: Kind
    epoch: int
    """Number of epochs that it was trained, if the file says it; else 0."""
    before: tuple[Tensor, ...] = field(repr=False)
    """Per expert the context (tokens, width), or (classes, tokens, width)."""
    after: tuple[Tensor, ...] = field(repr=False)
    """Per expert the learned tokens after the name; empty for one prompt, whose context may stand
    on both sides of the name: the file does not say where."""
    others: Mapping[str, Tensor] = field(repr=False)
    """Router, correction and meta-net, by the names that a run has."""
    norms: Mapping[str, Tensor] = field(repr=False)
    """LayerNorms of the image tower by their names in it; empty if the file has no towers."""
    starts: tuple[Tensor, ...] = field(repr=False)
    """Per expert the embedding of [SOS], (1, width); empty if the file does not have it."""
    suffixes: tuple[Tensor, ...] = field(repr=False)
    """Per expert the embeddings after the context, (classes, tokens, width): the names."""

    @property
    def own_classes(self) -> int:
        """The number of classes that have contexts of their own; 0 if all share theirs."""
        return len(self.before[0]) if self.before[0].ndim == 3 else 0


def read_coop_file(path: Path) -> CoOpFile:
    """Returns the learned values of a checkpoint.

    Raises:
        UserError: for a file that is damaged, holds other objects, or has another layout.
    """
    if path.is_dir():
        raise UserError(
            f"{path} is a folder. Expected the checkpoint in it, such as "
            "prompt_learner/model.pth.tar-50."
        )
    file = read_weights(path, with_schedule=True)
    tensors = {
        name.removeprefix("prompt_learner."): value.float()
        for name, value in file.tensors.items()
        if value.is_floating_point()
    }
    clip = {name: value for name, value in tensors.items() if _CLIP.match(name)}
    learned = {
        name: value
        for name, value in tensors.items()
        if name not in clip and not _FIXED.fullmatch(name)
    }
    for name, value in learned.items():
        if not value.isfinite().all():
            raise UserError(
                f"{path}: {name} holds values that are no numbers (NaN or infinite): its "
                "training failed. Take the checkpoint of another epoch."
            )
    norms = {found[1]: v for name, v in clip.items() if (found := _NORM.fullmatch(name))}
    epoch = file.others.get("epoch", 0)
    epoch = epoch if isinstance(epoch, int) else 0
    if "ctx" in learned:
        context = learned.pop("ctx")
        if context.ndim not in (2, 3) or not len(context):
            raise _other_layout(path, [f"ctx of shape {tuple(context.shape)}"])
        others = _take(learned, META_NET)
        kind = CONDITIONAL if others else ONE
        if learned or (others and (len(others) < len(META_NET) or context.ndim == 3)):
            raise _other_layout(path, sorted(learned) or list(META_NET))
        starts, suffixes = (
            _parts(tensors, "token_prefix", [""]),
            _parts(tensors, "token_suffix", [""]),
        )
        return CoOpFile(kind, epoch, (context,), (), others, norms, starts, suffixes)
    return _mixture(path, tensors, learned, norms, epoch)


def _mixture(
    path: Path,
    tensors: Mapping[str, Tensor],
    learned: dict[str, Tensor],
    norms: Mapping[str, Tensor],
    epoch: int,
) -> CoOpFile:
    """Returns the learned values of the authors' MoCoOp."""
    count = 0
    while f"ctx_before_{count}" in learned and f"ctx_after_{count}" in learned:
        count += 1
    before = tuple(learned.pop(f"ctx_before_{i}") for i in range(count))
    after = tuple(learned.pop(f"ctx_after_{i}") for i in range(count))
    others = _take(learned, {name: name for name in _GATE})
    others |= {
        name: value.reshape(-1) for name, value in _take(learned, {"w": "correction"}).items()
    }
    blocks = (*before, *after)
    if any(value.ndim != 2 or value.shape[-1] != blocks[0].shape[-1] for value in blocks):
        shapes = [f"ctx_before and ctx_after of shapes {[tuple(b.shape) for b in blocks[:4]]}"]
        raise _other_layout(path, shapes)
    if count < 2 or learned or not set(_GATE) <= set(others):
        raise _other_layout(path, sorted(learned) or ["a context that is no CoOp's"])
    places = [f"_{i}" for i in range(count)]
    starts, suffixes = (
        _parts(tensors, "token_prefix", places),
        _parts(tensors, "token_suffix", places),
    )
    return CoOpFile(EXPERTS, epoch, before, after, others, norms, starts, suffixes)


def _parts(tensors: Mapping[str, Tensor], name: str, places: list[str]) -> tuple[Tensor, ...]:
    """Returns a stored block of embeddings of every expert; none if one of them is missing."""
    found = [tensors.get(f"{name}{place}", torch.empty(0)) for place in places]
    whole = all(value.ndim == 3 for value in found)
    if not whole:
        return ()
    return tuple(value[0] if name == "token_prefix" else value for value in found)


def _take(learned: dict[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Removes tensors by name and returns them under their new names."""
    return {new: learned.pop(old) for old, new in names.items() if old in learned}


def _other_layout(path: Path, names: list[str]) -> UserError:
    listed = ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")
    return UserError(
        f"{path} is no checkpoint of CoOp, CoCoOp or MoCoOp: it has "
        f"{listed or 'nothing learned'}. Expected `ctx` (CoOp), with `meta_net` (CoCoOp), or "
        "`ctx_before_0`, `ctx_after_0` … with `gate` (MoCoOp)."
    )

"""Writes a CLIP of any format as a folder with open_clip's configuration and safetensors."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from mocoop.clip.backbone import load_backbone, make_backbone, open_backbone_model
from mocoop.clip.names import OPEN_CLIP_CONFIG
from mocoop.clip.weights_in import USUAL
from mocoop.errors import UserError
from mocoop.storage.atomic import write_json, write_tensors


def convert_backbone(name: str, out: Path) -> str:
    """Writes a CLIP into a new folder and returns its fingerprint.

    The folder is read again: it must give the same weights and the same image transform, bit by
    bit, so that runs of the one go with the other.

    Args:
        name: the CLIP, as `load_backbone` takes it.
        out: the folder; it is empty or does not exist.

    Raises:
        UserError: if the CLIP does not load, or the folder cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder. Choose another one.")
    opened = open_backbone_model(name)
    cpu = torch.device("cpu")
    fingerprint = make_backbone(name, opened.model, opened.tokenizer, cpu).fingerprint
    transform = open_clip.get_model_preprocess_cfg(opened.model)
    config = {"model_cfg": _plain(opened.settings), "preprocess_cfg": _plain(transform)}
    fresh = not out.exists()
    try:
        _write(out, config, opened.model.state_dict())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = load_backbone(str(out)).fingerprint
        if again != fingerprint:
            raise UserError(
                f"{name} has a part that a folder of open_clip's cannot hold: the conversion "
                "would not be exact. Use it as it is."
            )
    except BaseException:
        for file in (OPEN_CLIP_CONFIG, USUAL[0]):
            (out / file).unlink(missing_ok=True)
        if fresh:
            shutil.rmtree(out, ignore_errors=True)
        raise
    return fingerprint


def _write(out: Path, config: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
    try:
        write_json(out / OPEN_CLIP_CONFIG, dict(config))
        write_tensors(out / USUAL[0], weights, {"format": "pt"})
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {out}: {error.strerror or error}. Free some space, or "
            "choose another folder."
        ) from error


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(v) if isinstance(v, Mapping) else v for key, v in values.items()}

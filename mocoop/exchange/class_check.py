"""Whose words a checkpoint was trained with: it stores the embeddings of [SOS] and names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mocoop.errors import UserError
from mocoop.exchange.coop_files import CoOpFile
from mocoop.prompt_encoder.tokens import TokenTable
from mocoop.templates import fill

TOLERANCE = 2e-3  # between embeddings that were rounded to half precision; others differ by more


def check_same_clip(file: CoOpFile, table: TokenTable, width: int, backbone: str) -> None:
    """Raises UserError for contexts of another width, or trained with other token embeddings.

    Args:
        file: the checkpoint.
        table: the tokenizer and embeddings of the CLIP.
        width: of its text tower.
        backbone: its name.
    """
    own = file.before[0].shape[-1]
    if own != width:
        raise UserError(
            f"The prompt's tokens have {own} numbers, and those of {backbone} have {width}: it "
            "was trained with another CLIP. ViT-B and RN50 have 512, ViT-L 768, ViT-H 1024. "
            "Choose that one with --backbone."
        )
    for start in file.starts:
        if not _same(start, table.embed([table.start])):
            raise UserError(
                f"The prompt was trained with another CLIP than {backbone}: its [SOS] token "
                "differs. CoOp's own are trained with OpenAI's weights. Choose the right ones "
                "with --backbone."
            )


def same_classes(
    file: CoOpFile, table: TokenTable, names: Sequence[str], templates: Sequence[tuple[str, int]]
) -> int | None:
    """Returns how many of the first class names a checkpoint was trained with.

    Args:
        file: the checkpoint.
        table: the tokenizer and embeddings of its CLIP.
        names: the data set's class names, in label order.
        templates: each expert's template, and how many of its first tokens are learned; the file
            has the embeddings of those that follow.

    Returns:
        The number; 0 if its classes are others; None if the file does not say it.
    """
    if not file.suffixes:
        return None
    count = len(file.suffixes[0])
    if count > len(names) or any(len(suffix) != count for suffix in file.suffixes):
        return 0
    for suffix, (template, learned) in zip(file.suffixes, templates, strict=True):
        for row, name in zip(suffix, names[:count], strict=True):
            ids = table.encode(fill(template, name))[learned:]
            tokens = table.embed([*ids, table.end])
            if len(row) < len(tokens) or not _same(row[: len(tokens)], tokens):
                return 0
    return count


def _same(found: Tensor, expected: Tensor) -> bool:
    expected = expected.cpu().float()
    return found.shape == expected.shape and torch.allclose(
        found, expected, atol=TOLERANCE, rtol=TOLERANCE
    )

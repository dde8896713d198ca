"""Which files hold a CLIP's weights: in a folder, and in the folders of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mocoop.clip.names import QUICK_GELU
from mocoop.errors import UserError
from mocoop.storage.typed_json import decode
from mocoop.storage.weights_file import PICKLES, SAFE

# As open_clip and Hugging Face call them; safetensors come first.
USUAL = ("open_clip_model.safetensors", "model.safetensors")
USUAL_PICKLES = ("open_clip_pytorch_model.bin", "pytorch_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def usual_weights(folder: Path) -> tuple[Path, ...]:
    """Returns the files of a folder's weights: safetensors before pickles.

    Weights have a usual name, are the only file of their kind, or are listed in an index.

    Raises:
        UserError: if there is none, or the choice would be a guess.
    """
    for names, index, suffixes in (
        (USUAL, INDEXES[0], (SAFE,)),
        (USUAL_PICKLES, INDEXES[1], PICKLES),
    ):
        for name in names:
            if (folder / name).is_file():
                return (folder / name,)
        if (folder / index).is_file():
            return _listed(folder / index)
        files = sorted(p for p in folder.iterdir() if p.suffix in suffixes and p.is_file())
        if len(files) == 1:
            return (files[0],)
        if files:
            raise UserError(
                f"{folder} needs weights in one file; found {len(files)} of them ending in "
                f"{files[0].suffix}. Rename the right one to {names[0]}."
            )
    raise UserError(
        f"{folder} needs weights in a .safetensors file (or .bin, .pt, .pth); found none."
    )


def _listed(index: Path) -> tuple[Path, ...]:
    """Returns the files that an index of Hugging Face's lists; they lie beside it."""
    try:
        names = sorted(set(decode(index.read_bytes(), dict[str, Any])["weight_map"].values()))
        files = tuple(index.parent / Path(name).name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} cannot be read: {error}. Copy it again.") from error
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise UserError(f"{index} lists {', '.join(missing) or 'no file'}: not found beside it.")
    return files


def weights_of_training(file: Path) -> str:
    """Returns the architecture that open_clip's training says a checkpoint is for; "" if none.

    It writes `NAME/checkpoints/epoch_5.pt`, and its settings to `NAME/params.txt`.
    """
    try:
        text = (file.parent.parent / "params.txt").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    lines = (line.partition(":") for line in text.splitlines())
    settings = {name.strip(): value.strip() for name, _, value in lines}
    quick = settings.get("force_quick_gelu") == "True"
    model = settings.get("model", "").replace("/", "-")
    return f"{model}{QUICK_GELU}" if quick and not model.endswith(QUICK_GELU) else model

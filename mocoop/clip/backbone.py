"""A frozen CLIP with its tokenizer and its image transform, and how to load it."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import open_clip
import torch
import torch.nn.functional as F
from open_clip.factory import get_model_config
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.func import functional_call

from mocoop.assets import asset
from mocoop.clip.frozen_attention import use_frozen_attention
from mocoop.clip.hub import check_available
from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError, UserNote, choose_from, did_you_mean

DEMO = "demo"
QUICK_GELU = "-quickgelu"  # ends the names of open_clip's architectures with that activation
# The errors that open_clip raises for a configuration or weights that do not fit.
MISFITS = (
    RuntimeError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    SafetensorError,
)  # fmt: skip
OFFLINE_HINT = "The built-in demo works offline: use backbone 'demo'."

OpenClip: TypeAlias = CLIP | CustomTextCLIP
Tokenizer: TypeAlias = Callable[..., Tensor]  # texts → token ids (texts, context)


@dataclass(frozen=True)
class Backbone:
    """A frozen CLIP; its weights do not change after loading."""

    name: str
    model: OpenClip
    tokenizer: Tokenizer
    transform: Callable[[Image.Image], Tensor]
    preprocess: PreprocessCfg
    """What the transform was made from: input size, mean, standard deviation and more."""
    fingerprint: str
    """Hash of weights and transform: with equal fingerprints, image features are equal too."""
    device: torch.device
    image_overrides: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    """Parameter name → value, used instead of the image tower's own parameter of that name."""
    original: Backbone | None = field(default=None, repr=False)
    """With `image_overrides`: the backbone without them, whose text tower is shared."""

    @cached_property
    def text(self) -> TextTower:
        """The text tower; one per backbone, because it caches its weights in other dtypes."""
        if self.original is not None:
            return self.original.text
        return TextTower.from_model(self.model, self.tokenizer)

    @property
    def logit_scale(self) -> float:
        """The scale of the logits, exp of CLIP's parameter."""
        return float(self.model.logit_scale.exp())

    @torch.no_grad()
    def image_features(self, images: Tensor) -> Tensor:
        """Returns L2-normalised features (batch, dim), fp32, of transformed images."""
        overrides = dict(self.image_overrides)
        features = functional_call(self.model.visual, overrides, (images.to(self.device),))
        return F.normalize(features.float(), dim=-1)


def choose_device(name: str) -> torch.device:
    """Returns the torch device called `name`; `auto` is a GPU if there is one, else the CPU.

    Raises:
        UserError: for an unknown device or one that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"Device {name!r} cannot be used here. Expected 'auto', 'cpu' or a GPU of this "
            "machine such as 'cuda'."
        ) from error
    return device


def load_backbone(name: str, device: str | torch.device = "cpu") -> Backbone:
    """Returns a frozen CLIP in evaluation mode.

    Args:
        name: `demo`; an open_clip `NAME/TAG`; `NAME/FILE.safetensors` with local weights of a
            known architecture; or a folder with `open_clip_config.json` and weights.
        device: the device of the model.

    Raises:
        UserError: for an unknown name, weights that cannot be loaded, or weights that were
            trained with another activation than the architecture's.

    Warns with a `UserNote` for a file if its name leaves the activation open.
    """
    target = choose_device(device) if isinstance(device, str) else device
    if name == DEMO:
        folder = asset("demo-clip")
        if not (folder / "open_clip_model.safetensors").is_file():
            raise UserError(
                f"The demo CLIP is missing at {folder}. Check out the project again, or train "
                "it with `mocoop demo-clip`."
            )
        return _load_folder(name, folder, target)
    path = Path(name).expanduser()
    if path.is_dir():
        return _load_folder(name, path, target)
    architecture, weights = _architecture_and_weights(name)
    model = (
        _create_from_file(architecture, weights)
        if isinstance(weights, Path)
        else _create_pretrained(architecture, weights)
    )
    return make_backbone(name, model, open_clip.get_tokenizer(architecture), target)


def check_backbone_name(name: str) -> None:
    """Raises UserError for a name that `load_backbone` would refuse, without loading anything."""
    path = Path(name).expanduser()
    if name == DEMO:
        return
    if path.is_dir():
        _weights_in(path)
    else:
        _architecture_and_weights(name)


def make_backbone(
    name: str, model: OpenClip, tokenizer: Tokenizer, device: torch.device
) -> Backbone:
    """Returns a backbone from an open_clip model."""
    model = model.to(device).eval().requires_grad_(False)
    use_frozen_attention(model.visual)
    settings = open_clip.get_model_preprocess_cfg(model)
    preprocess = PreprocessCfg(**settings)
    transform = image_transform_v2(preprocess, is_train=False)
    fingerprint = _fingerprint(model, settings)
    return Backbone(name, model, tokenizer, transform, preprocess, fingerprint, device)


def _load_folder(name: str, folder: Path, device: torch.device) -> Backbone:
    """Returns the backbone in a folder with `open_clip_config.json` and a safetensors file."""
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise UserError(
            f"{folder} has no open_clip_config.json. A local checkpoint is a folder with that "
            "file and one .safetensors file."
        )
    weights = _weights_in(folder)
    try:
        if "model_cfg" not in json.loads(config.read_text(encoding="utf-8")):
            raise ValueError("it has no key model_cfg")
        model = _create_with(f"local-dir:{folder}", weights)
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except MISFITS as error:
        raise UserError(
            f"The checkpoint in {folder} does not load: {_shortened(error)}. Check that "
            "open_clip_config.json and the weights belong together."
        ) from error
    return make_backbone(name, model, tokenizer, device)


def _weights_in(folder: Path) -> Path:
    """Returns the weights file: open_clip_model.safetensors, or the only safetensors file."""
    files = sorted(folder.glob("*.safetensors"))
    usual = folder / "open_clip_model.safetensors"
    if usual in files or len(files) == 1:
        return usual if usual in files else files[0]
    if files:
        found = f"found {len(files)} of them; rename the right one to {usual.name}"
    else:
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
        found = (
            f"found {pickles[0]}, which could run code when loaded" if pickles else "found none"
        )
        found += ". Save the weights with safetensors.torch.save_file"
    raise UserError(f"{folder} needs weights in a .safetensors file; {found}.")


def _architecture_and_weights(name: str) -> tuple[str, str | Path]:
    """Returns the architecture, and open_clip's tag or the path of an existing weights file."""
    if Path(name).expanduser().is_file():
        raise UserError(
            f"Backbone {name!r} is a file. Expected its folder, with open_clip_config.json beside "
            "the weights, or ARCHITECTURE/FILE such as "
            "ViT-B-32-quickgelu/weights.safetensors."
        )
    architecture, _, tag = name.partition("/")
    known = open_clip.list_models()
    if architecture not in known:
        raise UserError(
            f"Unknown backbone {name!r}: expected 'demo', an open_clip NAME/TAG such as "
            "ViT-B-16-quickgelu/openai, or a checkpoint folder."
            + did_you_mean(_as_open_clip(name), [DEMO, *known])
        )
    file = Path(tag).expanduser()
    if not tag or (file.suffix and file.suffix != ".safetensors"):
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        what = f"got the file {tag}" if tag else "got none"
        raise UserError(
            f"Backbone {architecture!r} needs weights after a slash, one of "
            f"{', '.join(tags) or '(no tag known)'} or a local .safetensors file; {what}."
        )
    if file.suffix == ".safetensors" and not file.is_file():
        raise UserError(f"No such weights file: {file}. Check the path after {architecture}/.")
    if file.suffix:
        return architecture, file
    settings = open_clip.get_pretrained_cfg(architecture, tag)
    if not settings:
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        raise choose_from(f"weights tag for {architecture}", tag, tags)
    _check_quick_gelu(architecture, tag, bool(settings.get("quick_gelu", False)))
    return architecture, tag


def _as_open_clip(name: str) -> str:
    """Returns the architecture of a backbone's name; OpenAI writes ViT-B/16 for ViT-B-16."""
    family, _, rest = name.partition("/")
    size = rest.partition("/")[0]
    return f"{family}-{size}" if size[:1].isdigit() else family


def _create_from_file(architecture: str, file: Path) -> OpenClip:
    try:
        model = _create_with(architecture, file)
    except MISFITS as error:
        raise UserError(
            f"{file} does not fit {architecture}: {_shortened(error)}. Check that the file "
            "holds this architecture's weights."
        ) from error
    _note_quick_gelu(architecture, file)
    return model


def _note_quick_gelu(architecture: str, file: Path) -> None:
    """Warns where a file could hold weights of the architecture's twin with QuickGELU."""
    twin = f"{architecture}{QUICK_GELU}"
    if twin in open_clip.list_models():
        warnings.warn(
            f"{file} is loaded as {architecture}, with plain GELU. Weights that were trained with "
            "QuickGELU, such as OpenAI's, fit as well and would lose accuracy silently; the file "
            f"does not say which they are. If they were, use {twin}/{file}. To measure it: mocoop "
            f"backbone check {file} --name {architecture}.",
            UserNote,
            stacklevel=3,
        )


def _create_pretrained(architecture: str, tag: str) -> OpenClip:
    """Returns the model with open_clip's weights called `tag`, downloaded on first use."""
    try:
        check_available(open_clip.get_pretrained_cfg(architecture, tag))
        with _quiet():
            return open_clip.create_model(architecture, pretrained=tag, require_pretrained=True)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise UserError(
            f"The weights {architecture}/{tag} are not on this machine and could not be "
            "downloaded. Connect to the internet once, or give a local file of these weights, "
            f"{architecture}/FILE.safetensors, or a checkpoint folder. {OFFLINE_HINT}"
        ) from error


def _check_quick_gelu(architecture: str, tag: str, weights_quick: bool) -> None:
    """Raises UserError if weights and architecture differ in their activation.

    OpenAI's weights were trained with QuickGELU. With plain GELU they load without an error but
    lose several points of accuracy.
    """
    config = get_model_config(architecture) or {}
    if bool(config.get("quick_gelu", False)) == weights_quick:
        return
    plain = architecture.removesuffix(QUICK_GELU)
    better = f"{plain}{QUICK_GELU}" if weights_quick else plain
    better_config = get_model_config(better) or {}
    fits = bool(better_config.get("quick_gelu", False)) == weights_quick and better_config
    advice = f"Use {better}/{tag}." if fits else "Choose other weights."
    activation = "QuickGELU" if weights_quick else "plain GELU"
    raise UserError(
        f"The weights {tag!r} were trained with {activation}, which {architecture} does not use: "
        f"accuracy would drop silently. {advice}"
    )


def _create_with(model_name: str, weights: Path) -> OpenClip:
    """Returns open_clip's model with the weights of exactly this file."""
    with _quiet():
        # open_clip itself would prefer a pickle with a usual name in the same folder.
        model = open_clip.create_model(model_name, load_weights=False, pretrained_text=False)
        open_clip.load_checkpoint(model, str(weights))
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides open_clip's log messages."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def fingerprint_with(start: str, tensors: Mapping[str, Tensor]) -> str:
    """Returns a hash of a text and of named tensors."""
    digest = hashlib.sha256(start.encode())
    for key, value in sorted(tensors.items()):
        digest.update(key.encode())
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().data)
    return digest.hexdigest()[:32]


def _fingerprint(model: OpenClip, settings: dict) -> str:
    """Returns a hash of all weights and of the image transform's settings."""
    return fingerprint_with(json.dumps(settings, sort_keys=True, default=str), model.state_dict())


def _shortened(error: BaseException) -> str:
    """Returns an error's message on one line, at most 200 characters long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200].rstrip(".")

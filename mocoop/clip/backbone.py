"""A frozen CLIP with its tokenizer and its image transform, and how to load it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

from mocoop.assets import asset, check_shipped
from mocoop.clip.frozen_attention import use_frozen_attention
from mocoop.clip.names import Folder, find_source
from mocoop.clip.open_model import OpenClip, Opened, Tokenizer, open_model
from mocoop.clip.structure import unusual_parts
from mocoop.clip.text_tower import TextTower
from mocoop.clip.tuned_tower import TunedTower
from mocoop.clip.weights_in import usual_weights
from mocoop.config import DEMO
from mocoop.errors import UserError


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
    """Hash of weights and transform, and of what is unusual in how the weights are used: with
    equal fingerprints, image features are equal too."""
    device: torch.device
    tuned: TunedTower | None = field(default=None, repr=False)
    """What a run has learned in the image tower; None if it is as it was loaded."""
    original: Backbone | None = field(default=None, repr=False)
    """With `tuned`: the backbone without it, whose text tower is shared."""

    @cached_property
    def text(self) -> TextTower:
        """The text tower; one per backbone, because it caches its weights in other dtypes."""
        if self.original is not None:
            return self.original.text
        return TextTower.from_model(self.model, self.tokenizer)

    @property
    def as_loaded(self) -> Backbone:
        """This backbone without what a run has learned in its image tower."""
        return self.original or self

    @property
    def logit_scale(self) -> float:
        """The scale of the logits, exp of CLIP's parameter."""
        return float(self.model.logit_scale.exp())

    @property
    def feature_dim(self) -> int:
        """The length of an image's feature: that of the joint embedding, or twice as long where
        the frozen tower's feature follows the tuned one, or longer with a feature per expert.
        """
        return (self.tuned or TunedTower()).feature_dim(self.text.dim)

    @torch.no_grad()
    def image_features(self, images: Tensor) -> Tensor:
        """Returns L2-normalised features (batch, feature_dim), fp32, of transformed images."""
        tuned = self.tuned or TunedTower()
        return tuned.features(self.model.visual, images.to(self.device))

    def with_tuned(self, tuned: TunedTower) -> Backbone:
        """Returns this backbone with an image tower that a run has tuned.

        Without anything learned it is the backbone itself.
        """
        learned = tuned.tensors()
        if not learned:
            return self
        fingerprint = fingerprint_with(self.fingerprint + tuned.description(), learned)
        tuned = tuned.to(self.device)
        return replace(self, tuned=tuned, fingerprint=fingerprint, original=self)


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
    # torch raises AssertionError where it was built without this kind of device, and
    # NotImplementedError for one that cannot hold numbers, such as "meta".
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"Device {name!r} cannot be used here. Expected 'auto', 'cpu' or a GPU of this "
            "machine such as 'cuda'."
        ) from error
    return device


def load_backbone(name: str, device: str | torch.device = "cpu") -> Backbone:
    """Returns a frozen CLIP in evaluation mode.

    Args:
        name: `demo`; an open_clip `NAME/TAG`; `NAME/FILE` with local weights of a known
            architecture; a file of OpenAI's; a folder with a configuration and weights of
            open_clip or Hugging Face; or `hf-hub:OWNER/NAME`.
        device: the device of the model.

    Raises:
        UserError: for an unknown name, weights that cannot be loaded, or weights that were
            trained with another activation than the architecture's.

    Warns with a `UserNote` for a file if its name leaves the activation open.
    """
    target = choose_device(device) if isinstance(device, str) else device
    opened = open_backbone_model(name)
    return make_backbone(name, opened.model, opened.tokenizer, target)


def open_backbone_model(name: str) -> Opened:
    """Returns the model of a CLIP, its tokenizer, and how its weights were stored.

    Raises:
        UserError: as `load_backbone`.
    """
    if name != DEMO:
        return open_model(find_source(name))
    folder = asset("demo-clip")
    if not (folder / "open_clip_model.safetensors").is_file():
        raise UserError(
            f"The demo CLIP is missing at {folder}. Check out the project again, or train "
            "it with `mocoop demo-clip`."
        )
    check_shipped(folder / "open_clip_model.safetensors")
    return open_model(Folder(folder))


def check_backbone_name(name: str) -> None:
    """Raises UserError for a name that `load_backbone` would refuse, without loading anything."""
    if name == DEMO:
        return
    source = find_source(name)
    if isinstance(source, Folder):
        usual_weights(source.path)


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


def fingerprint_with(start: str, tensors: Mapping[str, Tensor]) -> str:
    """Returns a hash of a text and of named tensors."""
    digest = hashlib.sha256(start.encode())
    for key, value in sorted(tensors.items()):
        digest.update(key.encode())
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().data)
    return digest.hexdigest()[:32]


def _fingerprint(model: OpenClip, settings: dict) -> str:
    """Returns a hash of all weights and of the image transform's settings.

    A second one follows where the weights are used in an unusual way, such as with QuickGELU;
    earlier versions had the first alone (`RunSetup.has_clip`).
    """
    start = json.dumps(settings, sort_keys=True, default=str)
    own, unusual = fingerprint_with(start, model.state_dict()), unusual_parts(model)
    return f"{own}-{hashlib.sha256(unusual.encode()).hexdigest()[:8]}" if unusual else own

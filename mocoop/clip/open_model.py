"""Makes open_clip's model of a CLIP from any source: all weights, from exactly one place."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import open_clip
from open_clip.convert import convert_state_dict
from open_clip.model import (
    CLIP,
    CustomTextCLIP,
    convert_to_custom_text_state_dict,
    set_model_preprocess_cfg,
)
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from safetensors import SafetensorError
from torch import Tensor

from mocoop.clip import layouts
from mocoop.clip.hub import cached_file, check_available, hub_weights
from mocoop.clip.names import (
    HUGGING_FACE_CONFIG,
    OPEN_CLIP_CONFIG,
    QUICK_GELU,
    Folder,
    Repository,
    Source,
    Tag,
    check_activation_of,
)
from mocoop.clip.quick_model import WeightsFollow, unset_weights, usual_tokenizer
from mocoop.clip.quiet import quiet
from mocoop.clip.snapshots import snapshot_folder
from mocoop.clip.weights_in import usual_weights, weights_of_training
from mocoop.errors import UserError, UserNote
from mocoop.slow_imports import complete_open_clip
from mocoop.storage.typed_json import decode
from mocoop.storage.weights_file import read_weights

# The errors that open_clip raises for a configuration or weights that do not fit.
MISFITS = (
    RuntimeError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    ArithmeticError, SafetensorError,
)  # fmt: skip
OFFLINE_HINT = "The built-in demo works offline: use backbone 'demo'."
OTHER_TOKENIZERS = {"hf_tokenizer_name", "tokenizer_kwargs"}  # settings of a text tower
VOCABULARY = 49408  # tokens of CLIP's own tokenizer

OpenClip: TypeAlias = CLIP | CustomTextCLIP
Tokenizer: TypeAlias = Callable[..., Tensor]  # texts → token ids (texts, context)


@dataclass(frozen=True)
class Opened:
    """A model with its tokenizer, and how its weights were stored."""

    model: OpenClip
    tokenizer: Tokenizer
    layout: str
    """`OpenAI`, `open_clip` or `Hugging Face`."""
    settings: Mapping[str, Any]
    """open_clip's configuration of the model."""
    weights: tuple[Path, ...] = ()
    """The files of the weights; empty if open_clip found them by a tag."""


def open_model(source: Source) -> Opened:
    """Returns the model of a source, in fp32 and on the CPU.

    Raises:
        UserError: for weights that are missing, damaged, of another architecture, or trained with
            another activation.
    """
    if isinstance(source, Tag):
        return _pretrained(source)
    if isinstance(source, Repository):
        return _in_folder(snapshot_folder(source.name))
    if isinstance(source, Folder):
        return _in_folder(source.path)
    if source.architecture:
        return _known(source.architecture, source.file)
    for name in (OPEN_CLIP_CONFIG, HUGGING_FACE_CONFIG):
        if (source.file.parent / name).is_file():
            return _in_folder(source.file.parent, (source.file,))
    return _alone(source.file)


def _pretrained(source: Tag) -> Opened:
    """Returns the model with open_clip's weights of a tag, downloaded on first use."""
    architecture, tag = source.architecture, source.tag
    complete_open_clip()
    try:
        check_available(open_clip.get_pretrained_cfg(architecture, tag))
        with quiet():
            with WeightsFollow():
                model = _with_tag(architecture, tag)
            if unset_weights(model):
                model = _with_tag(architecture, tag)
    except (*MISFITS, EOFError, UnpicklingError) as error:
        raise _no_weights(architecture, tag, error) from error
    settings = open_clip.get_model_config(architecture) or {}
    return Opened(model, open_clip.get_tokenizer(architecture), "open_clip", settings)


def _no_weights(architecture: str, tag: str, error: Exception) -> UserError:
    """Returns the error for weights of a tag that are damaged, or neither here nor on the hub."""
    name, settings = f"{architecture}/{tag}", open_clip.get_pretrained_cfg(architecture, tag)
    weights = hub_weights(settings or {})
    if weights is not None and cached_file(weights) is not None:
        return UserError(
            f"The weights {name} on this machine cannot be read: {shortened(error)}. Delete the "
            f"folder {weights.folder}, and download them again: mocoop backbone download {name}"
        )
    return UserError(
        f"The weights {name} are not on this machine and could not be downloaded. Connect to the "
        f"internet once, or give a local file of these weights, {architecture}/FILE.safetensors, "
        f"or a checkpoint folder. {OFFLINE_HINT}"
    )


def _with_tag(architecture: str, tag: str) -> OpenClip:
    return open_clip.create_model(architecture, pretrained=tag, require_pretrained=True)


def _known(architecture: str, file: Path, doubtful: bool = True) -> Opened:
    """Returns the model of an architecture with the weights in a file.

    Warns, if the activation is doubtful, where the file could be for the twin with QuickGELU.
    """
    complete_open_clip()
    tensors, layout = _read((file,))
    settings = open_clip.get_model_config(architecture) or {}
    if layout == "OpenAI":
        check_activation_of(architecture, str(file), weights_quick=True)
    try:
        with quiet(), WeightsFollow():
            model = open_clip.create_model(architecture, load_weights=False, pretrained_text=False)
        _load(model, tensors, f"{file} does not fit {architecture}")
        tokenizer = open_clip.get_tokenizer(architecture)
    except MISFITS as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{file} does not fit {architecture}: {shortened(error)}. Check that the file "
            "holds this architecture's weights."
        ) from error
    if doubtful and layout != "OpenAI":
        _note_quick_gelu(architecture, file)
    return Opened(model, tokenizer, layout, settings, (file,))


def _alone(file: Path) -> Opened:
    """Returns the model of a file that has no configuration beside it.

    OpenAI's weights tell their sizes, and their activation is known. Of others the architecture
    is known if exactly one fits, or if open_clip wrote its settings beside them in training.
    """
    tensors, layout = _read((file,))
    if layout == "OpenAI":
        try:
            settings = layouts.settings_of_shapes(tensors, quick_gelu=True)
        except (KeyError, IndexError) as error:
            raise UserError(f"{file} is no whole CLIP: {error} is missing.") from error
        return _from_settings(settings, {}, tensors, layout, (file,))
    trained = weights_of_training(file)
    names = layouts.fitting_architectures(tensors)
    if trained in names:
        names = [trained]
    elif len(names) == 1 and f"{names[0]}{QUICK_GELU}" not in open_clip.list_models():
        trained = names[0]
    else:
        raise UserError(_how_to_name(file, layout, names))
    return _known(trained, file, doubtful=False)


def _how_to_name(file: Path, layout: str, names: list[str]) -> str:
    if layout == "Hugging Face":
        return (
            f"{file} has Hugging Face's weights, which do not say their activation: put their "
            f"{HUGGING_FACE_CONFIG} beside the file."
        )
    if names:
        forms = " or ".join(f"{name}/{file}" for name in names)
        measured = (
            f" To measure which of the two it is: mocoop backbone check {file} --name {names[0]}."
            if len(names) > 1
            else ""
        )
        return (
            f"{file} fits {' and '.join(names)}, and does not say which it is for. Give it as "
            f"{forms}.{measured}"
        )
    return (
        f"{file} fits no architecture that open_clip knows. Expected a CLIP's weights; put their "
        f"{OPEN_CLIP_CONFIG} beside the file, or give ARCHITECTURE/FILE."
    )


def _in_folder(folder: Path, weights: tuple[Path, ...] = ()) -> Opened:
    """Returns the model in a folder with a configuration of open_clip or Hugging Face."""
    ours, theirs = folder / OPEN_CLIP_CONFIG, folder / HUGGING_FACE_CONFIG
    if not ours.is_file() and not theirs.is_file():
        raise UserError(
            f"{folder} has no {OPEN_CLIP_CONFIG}, and no {HUGGING_FACE_CONFIG} of Hugging Face's. "
            "A local checkpoint is a folder with one of them and one .safetensors file (or .bin, "
            ".pt)."
        )
    weights = weights or usual_weights(folder)
    try:
        if ours.is_file():
            values = _json(ours)
            if "model_cfg" not in values:
                raise ValueError("it has no key model_cfg")
            settings, transform = values["model_cfg"], values.get("preprocess_cfg", {})
        else:
            settings = layouts.hugging_face_settings(_json(theirs))
            preprocessor = folder / "preprocessor_config.json"
            transform = (
                layouts.hugging_face_transform(_json(preprocessor))
                if preprocessor.is_file()
                else {}
            )
        tensors, layout = _read(weights)
        layouts.check_claim(settings, tensors)
        if layout == "OpenAI" and not settings.get("quick_gelu", False):
            raise ValueError(
                "the weights are OpenAI's, which were trained with QuickGELU, and the "
                "configuration has no quick_gelu"
            )
        if ours.is_file():
            if settings.get("vision_cfg", {}).get("timm_model_name"):
                complete_open_clip()
            model, tokenizer = _like_open_clip(folder, settings, tensors)
            return Opened(model, tokenizer, layout, settings, weights)
        return _from_settings(settings, transform, tensors, layout, weights)
    except MISFITS as error:
        raise UserError(
            f"The checkpoint in {folder} does not load: {shortened(error)}. Check that "
            f"{ours.name if ours.is_file() else theirs.name} and the weights belong together."
        ) from error


def _like_open_clip(
    folder: Path, settings: Mapping[str, Any], tensors: dict[str, Tensor]
) -> tuple[OpenClip, Tokenizer]:
    """Returns model and tokenizer of a folder with open_clip's configuration."""
    name = f"local-dir:{folder}"
    with quiet(), WeightsFollow():
        # open_clip itself would prefer a pickle with a usual name in the same folder.
        model = open_clip.create_model(name, load_weights=False, pretrained_text=False)
    _load(model, tensors, "the configuration is of another CLIP")
    text = settings.get("text_cfg", {})
    if OTHER_TOKENIZERS & text.keys():
        return model, open_clip.get_tokenizer(name)
    return model, usual_tokenizer(
        text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
    )


def _from_settings(
    settings: Mapping[str, Any],
    transform: Mapping[str, Any],
    tensors: dict[str, Tensor],
    layout: str,
    weights: tuple[Path, ...],
) -> Opened:
    """Returns the model of a configuration that no file in open_clip's form describes."""
    text = settings["text_cfg"]
    if text["vocab_size"] != VOCABULARY:
        raise UserError(
            f"{weights[0]} has {text['vocab_size']} tokens: expected the {VOCABULARY} of CLIP's "
            "own tokenizer."
        )
    with quiet(), WeightsFollow():
        model = CLIP(**settings)
    _load(model, tensors, f"{weights[0]} does not fit its configuration")
    usual = asdict(PreprocessCfg(size=model.visual.image_size))
    set_model_preprocess_cfg(model, merge_preprocess_dict(usual, dict(transform)))
    tokenizer = usual_tokenizer(text["context_length"])
    return Opened(model, tokenizer, layout, settings, weights)


def _read(files: tuple[Path, ...]) -> tuple[dict[str, Tensor], str]:
    """Returns the weights in files under open_clip's names, and the layout that they had."""
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= read_weights(file).tensors
    if layouts.is_hugging_face(tensors):
        return layouts.from_hugging_face(tensors), "Hugging Face"
    if layouts.is_openai(tensors):
        kept = {k: v for k, v in tensors.items() if k not in layouts.OPENAI_ENTRIES}
        return kept, "OpenAI"
    return tensors, "open_clip"


def _load(model: OpenClip, tensors: dict[str, Tensor], misfit: str) -> None:
    """Puts weights into a model: all of them, each of the shape that the model has.

    The changes of names and shapes are those of open_clip's own `load_checkpoint`. It would also
    resize positional embeddings to another picture size; here that is a misfit.
    """
    tensors = convert_state_dict(model, tensors)
    if "positional_embedding" in tensors and not hasattr(model, "positional_embedding"):
        tensors = convert_to_custom_text_state_dict(tensors)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(model, name, None)
        if own is not None and name in tensors and tensors[name].ndim != own.ndim:
            tensors[name] = tensors[name].reshape(own.shape)
    if getattr(model, "logit_bias", None) is not None and "logit_bias" not in tensors:
        tensors["logit_bias"] = tensors["logit_scale"].new_zeros(model.logit_bias.shape)
    expected = model.state_dict()
    position_ids = "text.transformer.embeddings.position_ids"  # of older transformers
    if position_ids not in expected:
        tensors.pop(position_ids, None)
    words = layouts.misfit_words(expected, tensors)
    if words:
        raise UserError(f"{misfit}: {words}")
    for name, value in expected.items():
        if value.is_floating_point():
            layouts.check_numbers(name, tensors[name])
    model.load_state_dict(tensors)


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
            stacklevel=5,
        )


def _json(file: Path) -> dict[str, Any]:
    values = decode(file.read_bytes(), Any)
    if not isinstance(values, dict):
        raise ValueError(f"{file.name} is no JSON object")
    return values


def shortened(error: BaseException) -> str:
    """Returns an error's message on one line, at most 400 characters long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:400].rstrip(".")

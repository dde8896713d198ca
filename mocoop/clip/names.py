"""Names of CLIPs: what each form of a name means. Nothing is loaded or fetched here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import open_clip
from open_clip.factory import get_model_config

from mocoop.config import DEMO
from mocoop.errors import UserError, choose_from, did_you_mean
from mocoop.storage.weights_file import SUFFIXES
from mocoop.user_paths import user_path

QUICK_GELU = "-quickgelu"  # ends the names of open_clip's architectures with that activation
HUB = "hf-hub:"
OPEN_CLIP_CONFIG, HUGGING_FACE_CONFIG = "open_clip_config.json", "config.json"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Tag:
    """Weights that open_clip knows by name."""

    architecture: str
    tag: str


@dataclass(frozen=True)
class WeightsOf:
    """A file of weights, and the architecture that it is for; "" if the file is to tell it."""

    architecture: str
    file: Path


@dataclass(frozen=True)
class Folder:
    """A folder with a configuration, of open_clip or Hugging Face, and weights."""

    path: Path


@dataclass(frozen=True)
class Repository:
    """A repository of the Hugging Face Hub with a configuration and weights."""

    name: str


Source: TypeAlias = Tag | WeightsOf | Folder | Repository


def find_source(name: str) -> Source:
    """Returns what the name of a CLIP, other than `demo`, means.

    Args:
        name: NAME/TAG of open_clip, ARCHITECTURE/FILE, FILE, a folder, or `hf-hub:OWNER/NAME`
            (`hf-hub:` can be left out where NAME contains "clip").

    Raises:
        UserError: for a name that means nothing, or activations that do not fit together.
    """
    path = user_path(name)
    if path.is_dir():
        return Folder(path)
    if path.is_file():
        return WeightsOf("", path)
    repository = repository_in(name)
    if repository:
        return Repository(repository)
    if name.startswith(HUB):
        raise UserError(
            f"Backbone {name!r}: expected {HUB}OWNER/NAME, such as "
            f"{HUB}laion/CLIP-ViT-B-32-laion2B-s34B-b79K."
        )
    architecture, _, tag = name.partition("/")
    known = open_clip.list_models()
    if architecture in known:
        return _known(architecture, tag)
    if path.suffix in SUFFIXES and (not architecture or architecture.startswith((".", "~"))):
        raise UserError(f"No such weights file: {path}. Check the path.")
    raise UserError(
        f"Unknown backbone {name!r}: expected 'demo', an open_clip NAME/TAG such as "
        "ViT-B-16-quickgelu/openai, a file of weights, a checkpoint folder, or "
        f"{HUB}OWNER/NAME." + did_you_mean(_as_open_clip(name), [DEMO, *known])
    )


def repository_in(name: str) -> str:
    """Returns the repository of the hub, `owner/name`, that a CLIP's name means; "" if none.

    `hf-hub:` says so. Without it, what follows the slash must have "clip" in it.
    """
    bare = name.removeprefix(HUB)
    if not _REPOSITORY.fullmatch(bare):
        return ""
    owner, _, rest = bare.partition("/")
    said = "clip" in rest.lower() and Path(rest).suffix not in SUFFIXES
    own = owner in open_clip.list_models() or user_path(name).exists()
    return bare if bare != name or (said and not own) else ""


def absolute_name(name: str) -> str:
    """Returns a name that means the same in every folder: paths in it are made absolute."""
    if name == DEMO:
        return name
    path = user_path(name)
    if path.exists():
        return str(path.resolve())
    architecture, _, rest = name.partition("/")
    file = user_path(rest)
    if rest and architecture in open_clip.list_models() and file.is_file():
        return f"{architecture}/{file.resolve()}"
    return name


def path_in(name: str) -> Path | None:
    """Returns the path of this machine that a CLIP's name means; None for a name known elsewhere.

    Known elsewhere are the tags of open_clip and repositories of the hub. Every other name may be
    a path, whether it exists or not.
    """
    path = user_path(name)
    if path.exists():
        return path
    architecture, _, rest = name.partition("/")
    if architecture in open_clip.list_models():
        file = user_path(rest)
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        return None if rest in tags and not file.exists() else file
    return None if name == DEMO or repository_in(name) else path


def _known(architecture: str, tag: str) -> Tag | WeightsOf:
    """Returns the weights of an architecture of open_clip: by a tag, or in an existing file."""
    file = user_path(tag)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tag:
        raise UserError(
            f"Backbone {architecture!r} needs weights after a slash, one of "
            f"{', '.join(tags) or '(no tag known)'} or a local file of weights; got none."
        )
    if file.is_file():
        return WeightsOf(architecture, file)
    if file.suffix in SUFFIXES:
        raise UserError(f"No such weights file: {file}. Check the path after {architecture}/.")
    settings = open_clip.get_pretrained_cfg(architecture, tag)
    if not settings:
        raise choose_from(f"weights tag for {architecture}", tag, tags)
    check_activation_of(architecture, tag, bool(settings.get("quick_gelu", False)))
    return Tag(architecture, tag)


def check_activation_of(architecture: str, weights: str, weights_quick: bool) -> None:
    """Raises UserError if weights and architecture differ in their activation.

    OpenAI's weights were trained with QuickGELU. With plain GELU they load without an error but
    lose several points of accuracy.

    Args:
        architecture: a name of open_clip.
        weights: the tag or file.
        weights_quick: whether the weights were trained with QuickGELU.
    """
    config = get_model_config(architecture) or {}
    if bool(config.get("quick_gelu", False)) == weights_quick:
        return
    plain = architecture.removesuffix(QUICK_GELU)
    better = f"{plain}{QUICK_GELU}" if weights_quick else plain
    better_config = get_model_config(better) or {}
    fits = bool(better_config.get("quick_gelu", False)) == weights_quick and better_config
    advice = f"Use {better}/{weights}." if fits else "Choose other weights."
    activation = "QuickGELU" if weights_quick else "plain GELU"
    raise UserError(
        f"The weights {weights!r} were trained with {activation}, which {architecture} does not "
        f"use: accuracy would drop silently. {advice}"
    )


def _as_open_clip(name: str) -> str:
    """Returns the architecture of a backbone's name; OpenAI writes ViT-B/16 for ViT-B-16."""
    family, _, rest = name.partition("/")
    size = rest.partition("/")[0]
    return f"{family}-{size}" if size[:1].isdigit() else family

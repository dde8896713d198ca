"""Exports a finished run as a classifier that works without the run and without a text tower.

classifier.json         class names, experts, logit scale, name of the image tower
classifier.safetensors  text features, router, LayerNorms, the bias of LP++, an adapter
head.onnx               image features → probabilities, for any ONNX runtime
classifier.onnx         if asked for: pictures → label, with the image tower inside
label.py                beside it: labels a picture with onnxruntime and Pillow alone
README.md               what the classifier is and how to use it: a model card for the hub
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from mocoop.classifiers.base import Routed
from mocoop.classifiers.card import classifier_card
from mocoop.classifiers.exported_head import ExportedHead, as_exported, is_head
from mocoop.classifiers.onnx import check_onnx, write_onnx
from mocoop.classifiers.onnx_whole import check_whole, write_whole
from mocoop.classifiers.pictures import ImageClassifier
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.classifiers.saved import open_classifier, run_backbone
from mocoop.clip.backbone import Backbone, load_backbone
from mocoop.clip.device import tower_dtype
from mocoop.clip.image_layer_norms import NORMS, names_in_tower
from mocoop.clip.low_rank import low_rank_of
from mocoop.clip.tuned_tower import TunedTower
from mocoop.errors import UserError
from mocoop.features.encode import ImageEncoder
from mocoop.model.key_prompts import VALUES, key_tokens_of
from mocoop.model.vision_prompts import VISION, tuned_tower
from mocoop.older import check_not_first_demo, same_clip
from mocoop.runs.features import load_gate
from mocoop.runs.paths import EXPORT_FILE
from mocoop.runs.run import Run, white_setting
from mocoop.setting_types import Insertion, Precision
from mocoop.storage.atomic import remove_of_killed, write_json, write_tensors, write_text
from mocoop.storage.formats import check_format
from mocoop.storage.typed_json import decode

FORMAT = 1  # version of the folder's format
_TOKENS = "vision.tokens"  # the name of the image tower's learned tokens in an export
WHOLE = "classifier.onnx"
_SCRIPT = Path(__file__).with_name("label.py")  # goes with WHOLE; it imports nothing of ours
_MARK = ".unfinished-export"  # in a folder into which an export is being written
_FILES = {"classifier.safetensors", "head.onnx", "README.md", WHOLE, _SCRIPT.name}
_UPDATES = "vision.updates"  # the names of its low-rank updates begin so


@dataclass(frozen=True)
class ExportSetup:
    """The content of classifier.json."""

    class_names: tuple[str, ...]
    experts: tuple[str, ...]
    logit_scale: float
    num_chosen: int
    dim: int
    """Size of the image features."""
    method: str
    backbone: str
    """Name of the CLIP that the image tower belongs to, as `load_backbone` takes it."""
    backbone_fingerprint: str
    """Hash of its weights and its image transform."""
    run: str
    """Name of the run."""
    version: str
    """Version of mocoop that trained the run."""
    precision: Precision = "fp32"
    """Number format inside the image tower; missing in older exports."""
    vision_insertion: Insertion = "replace"
    """How learned tokens enter the image tower; missing in older exports."""
    router_sees_frozen: bool = False
    """Whether the router sees the frozen tower's feature; missing in older exports."""
    white: float | None = None
    """The value that is white in images of more than 8 bits, as in the training; None to guess it
    for each image alone. Missing in older exports."""
    lora_scale: float = 0.0
    """Number by which low-rank updates are multiplied; missing in older exports."""


@dataclass(frozen=True)
class Exported:
    """An exported classifier."""

    setup: ExportSetup
    classifier: MixtureClassifier
    tuned: TunedTower
    """What was learned in the image tower; nothing if it was frozen."""

    def encoder(self, loaded: Backbone | None = None) -> ImageEncoder:
        """Returns the classifier's encoder of images.

        Args:
            loaded: its backbone, if it is loaded already.

        Raises:
            UserError: if the backbone's weights are not those of the training.
        """
        backbone = self.image_backbone(loaded)
        return ImageEncoder(backbone, tower_dtype(self.setup.precision, backbone.device))

    def predict(self, images: Any) -> Routed:
        """Returns probabilities and routing of images; the CLIP is loaded by the first call.

        Args:
            images: a list of paths, PIL images or uint8 arrays (height, width, 3).

        Raises:
            UserError: if images cannot be read, or the CLIP is not that of the training.
        """
        return self._of_images.predict(images)

    @cached_property
    def _of_images(self) -> ImageClassifier:
        """The classifier with its image tower."""
        return ImageClassifier(self.classifier, self.encoder(), self.setup.white)

    def image_backbone(self, loaded: Backbone | None = None) -> Backbone:
        """Returns the CLIP that encodes the images, with the trained LayerNorms.

        Args:
            loaded: its backbone, if it is loaded already.

        Raises:
            UserError: if the backbone's weights are not those of the training.
        """
        backbone = loaded or load_backbone(self.setup.backbone, "auto")
        if not same_clip(self.setup.backbone_fingerprint, backbone.fingerprint):
            check_not_first_demo(self.setup.backbone_fingerprint, "classifier")
            raise UserError(
                f"The classifier was trained with other weights of {self.setup.backbone!r} than "
                "those found now. Restore the weights, or export the run again."
            )
        return backbone.with_tuned(self.tuned)


def export_run(
    run: Run,
    folder: Path,
    onnx: bool = True,
    tower: bool = False,
    loaded: Backbone | None = None,
) -> list[Path]:
    """Writes a finished run as a standalone classifier and returns the written files.

    Args:
        run: the run.
        folder: the new folder.
        onnx: whether to also write head.onnx.
        tower: whether to also write classifier.onnx, which has the image tower, and label.py.
        loaded: with `tower`, the run's backbone, on the CPU, if it is loaded already.

    Raises:
        UserError: if the run has no fixed text features, the folder is not empty, a package is
            needed and not installed, or the image tower cannot be written as ONNX.
    """
    if onnx:
        check_onnx()
    if tower:
        check_whole()
    _check_free(folder)
    run.require_finished()
    setup = run.setup()
    method = setup.config.method
    classifier = None if setup.config.conditional else as_exported(open_classifier(run))
    if classifier is None:
        raise UserError(
            f"A {method} run has no fixed text features to export. Expected a method whose text "
            "features do not depend on the image, such as mocoop, coop, taskres or clip-adapter."
        )
    if setup.config.expert_vision_depth:
        raise UserError(
            "In this run an image has a feature for each of its experts (expert_vision_depth), "
            "which an export cannot hold. Use the run itself, or train with expert_vision_depth 0."
        )
    weights = run.weights()
    tensors = {name: value for name, value in weights.items() if name.startswith(NORMS)}
    tuned = tuned_tower(setup.config, weights)
    if tuned.tokens is not None:
        tensors[_TOKENS] = tuned.tokens
    if tuned.keys is not None:
        learned = enumerate(tuned.keys.values)
        tensors |= {f"{VISION}{VALUES}{index}": tokens for index, tokens in learned}
    if tuned.updates is not None:
        tensors |= {f"{_UPDATES}_down": tuned.updates.down, f"{_UPDATES}_up": tuned.updates.up}
    if classifier.gate is not None:
        tensors |= {name: weights[name] for name in ("gate.weight", "gate.bias")}
    tensors["soft"] = classifier.soft
    if isinstance(classifier, ExportedHead):
        tensors |= classifier.to_tensors()
    described = ExportSetup(
        classifier.class_names,
        classifier.experts,
        classifier.logit_scale,
        classifier.num_chosen,
        classifier.soft.shape[-1],
        method,
        setup.config.backbone,
        setup.backbone_fingerprint,
        run.name,
        setup.version,
        setup.config.precision,
        setup.config.vision_insertion,
        tuned.with_frozen,
        setup.white,
        0.0 if tuned.updates is None else tuned.updates.scale,
    )
    files = [folder / "classifier.safetensors"]
    with _unfinished(folder):
        if tower:  # first, because it can fail
            backbone = run_backbone(run, loaded or load_backbone(setup.config.backbone, "cpu"))
            write_whole(folder / WHOLE, classifier, backbone)
            write_text(folder / _SCRIPT.name, _SCRIPT.read_text(encoding="utf-8"))
            files += [folder / WHOLE, folder / _SCRIPT.name]
        if onnx:
            write_onnx(folder / "head.onnx", classifier, tuned.with_frozen)
            files.append(folder / "head.onnx")
        write_tensors(files[0], tensors)
        card = classifier_card(run, described.dim, onnx, tower, tuned.with_frozen)
        write_text(folder / "README.md", card)
        # What is as usual is left out, so that earlier versions can read the file too.
        usual = {field.name: field.default for field in fields(ExportSetup)}
        values = {name: value for name, value in asdict(described).items() if value != usual[name]}
        write_json(folder / EXPORT_FILE, values | {"format": FORMAT})
    return [*files, folder / "README.md", folder / EXPORT_FILE]


@contextmanager
def _unfinished(folder: Path) -> Iterator[None]:
    """Marks a folder while an export is written into it.

    What a killed export left is removed first; after an error, what this one has written.
    """
    fresh = not folder.exists()
    _remove_written(folder)
    write_text(folder / _MARK, "`mocoop export` writes into this folder.\n")
    try:
        yield
    except BaseException:
        _remove_written(folder)
        (folder / _MARK).unlink(missing_ok=True)
        with suppress(OSError):
            if fresh:
                folder.rmdir()
        raise
    (folder / _MARK).unlink(missing_ok=True)


def _remove_written(folder: Path) -> None:
    """Removes the files of an export that was not finished."""
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)


def _check_free(folder: Path) -> None:
    """Raises UserError for a folder with files, other than those of an export that was killed.

    Only a marked folder is such a one: another may hold a README.md of the user's. classifier.json
    is written last, and then nothing is half done.
    """
    if not folder.exists():
        return
    if folder.is_dir():
        remove_of_killed(folder)
        found = {path.name for path in folder.iterdir()}
        if not found or (_MARK in found and found <= {*_FILES, _MARK}):
            return
    raise UserError(f"{folder} exists and is not empty. Choose another folder.")


def load_export(folder: Path) -> Exported:
    """Returns an exported classifier.

    Raises:
        UserError: if the folder is not an exported classifier, is damaged, or has another
            format.
    """
    values = _read(folder / EXPORT_FILE)
    check_format(values, FORMAT, folder, advice="Export the run again.")
    values.pop("format")
    try:
        names, experts = tuple(values.pop("class_names")), tuple(values.pop("experts"))
        values["white"] = white_setting(values.get("white"))
        setup = ExportSetup(names, experts, **values)
        tensors = load_file(folder / "classifier.safetensors")
        soft = tensors["soft"]
        expected = (len(setup.experts), len(setup.class_names), setup.dim)
        if tuple(soft.shape) != expected:
            raise ValueError(f"text features of shape {tuple(soft.shape)}, not {expected}")
    except (KeyError, TypeError, ValueError, SafetensorError, OSError) as error:
        raise UserError(f"{folder} is damaged ({error}). Export the run again.") from error
    classifier = MixtureClassifier(
        setup.class_names,
        setup.experts,
        soft,
        load_gate(tensors),
        setup.logit_scale,
        setup.num_chosen,
    )
    if is_head(tensors):
        classifier = ExportedHead.of(classifier, tensors)
    norms = {name: value for name, value in tensors.items() if name.startswith(NORMS)}
    tuned = TunedTower(
        names_in_tower(norms),
        tensors.get(_TOKENS),
        setup.vision_insertion,
        setup.router_sees_frozen,
        low_rank_of(tensors, _UPDATES, setup.lora_scale) if setup.lora_scale else None,
        key_tokens_of(tensors, VISION),
    )
    return Exported(setup, classifier, tuned)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = decode(path.read_bytes(), Any)
    except (OSError, UserError) as error:
        raise UserError(
            f"{path} cannot be read ({error}). Expected a folder that `mocoop export` made."
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a JSON object of settings. Export the run again.")
    return values

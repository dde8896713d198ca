"""Writes a classifier of pictures as one ONNX file: transform, image tower, router, mixture."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mocoop.classifiers.onnx import FEATURES, add_head
from mocoop.classifiers.onnx_nodes import FLOAT, Nodes
from mocoop.classifiers.onnx_transform import add_transform
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.clip.backbone import Backbone
from mocoop.clip.tuned_tower import TunedTower
from mocoop.errors import UserError
from mocoop.features.encode import encode_images
from mocoop.storage.atomic import atomic_write

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # the first version of ONNX's operators that torch's exporter writes
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 2_000_000_000  # bytes of one ONNX file, whose format ends at 2 GiB
TOLERANCE = 1e-4  # between the probabilities of the file and of torch
PICTURES, IMAGES = "pictures", "images"
_UINT8, _INT64 = 2, 7  # ONNX's numbers of the two types
_CHECKED = ((90, 120), (150, 40))  # sizes of the pictures that the file is tried with


def check_whole(tower: nn.Module | None = None) -> None:
    """Raises UserError if a package for the whole file is missing, or the tower is too large."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"Writing classifier.onnx needs the package {' and '.join(missing)}: install it with "
            '`pip install "mocoop[onnx]"`, or export without --tower.'
        )
    size = sum(4 * p.numel() for p in tower.parameters()) if tower is not None else 0
    if size > LARGEST:
        raise UserError(
            f"The image tower has {size / 1e9:.1f} GB in fp32, and one ONNX file holds at most 2 "
            "GB. Export without --tower: head.onnx takes the features of any image tower."
        )


def write_whole(path: Path, classifier: MixtureClassifier, backbone: Backbone) -> None:
    """Writes a classifier from picture to label as one ONNX file, in fp32.

    The file is tried before it is kept: onnxruntime must give torch's probabilities.

    Args:
        path: the file.
        classifier: the mixture.
        backbone: the CLIP of its images, with all that was learned in its tower, on the CPU.

    Raises:
        UserError: if a package is missing, or the image tower or the image transform cannot be
            written exactly.
    """
    check_whole(backbone.model.visual)
    transform, head = Nodes("transform"), Nodes("head")
    side = add_transform(transform, backbone.preprocess, PICTURES, IMAGES)
    add_head(head, classifier, backbone.feature_dim > backbone.text.dim)
    head.add("ArgMax", "probabilities", axis=1, keepdims=0, output="label")
    model = _tower(backbone, side)
    _put_together(model, transform, head, classifier)
    content = model.SerializeToString()
    del model
    _check(content, classifier, backbone)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


class _Tower(nn.Module):
    """The image tower with all that was learned in it, to L2-normalised features."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.visual = backbone.model.visual
        self.tuned = backbone.tuned or TunedTower()

    def forward(self, images: Tensor) -> Tensor:
        """Returns features (batch, feature_dim) of transformed images."""
        return self.tuned.features(self.visual, images)


def _tower(backbone: Backbone, side: int) -> ModelProto:
    """Returns the image tower as an ONNX model, from `images` to `image_features`."""
    example = torch.zeros(2, 3, side, side)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Tower(backbone).eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[IMAGES],
                output_names=[FEATURES],
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                verbose=False,
            )
    except RuntimeError as error:  # of the exporter, and of what it cannot trace
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The image tower of {backbone.name} cannot be written as ONNX: {reason}. Export "
            "without --tower: head.onnx takes the features of any image tower."
        ) from error
    assert program is not None
    return program.model_proto


def _put_together(
    model: ModelProto, transform: Nodes, head: Nodes, classifier: MixtureClassifier
) -> None:
    """Puts transform and head around an image tower, in place."""
    from onnx import helper

    graph = model.graph
    tower = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend([*transform.nodes, *tower, *head.nodes])
    graph.initializer.extend([*transform.constants, *head.constants])
    graph.name = "mocoop-classifier"
    make: Any = helper.make_tensor_value_info
    experts, classes, _ = classifier.soft.shape
    graph.input.append(make(PICTURES, _UINT8, ["batch", "height", "width", 3]))
    graph.output.extend(
        [
            make("label", _INT64, ["batch"]),
            make("probabilities", FLOAT, ["batch", classes]),
            make("logits", FLOAT, ["batch", classes]),
            make("experts", _INT64, ["batch", classifier.num_chosen]),
            make("weights", FLOAT, ["batch", experts]),
        ]
    )
    names = {"class_names": classifier.class_names, "experts": classifier.experts}
    helper.set_model_props(model, {key: json.dumps(value) for key, value in names.items()})
    model.producer_name = "mocoop"


def _check(content: bytes, classifier: MixtureClassifier, backbone: Backbone) -> None:
    """Raises UserError unless the file gives torch's probabilities on pictures of noise."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    for height, width in _CHECKED:
        pixels = generator.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
        features = encode_images(backbone, [Image.fromarray(picture) for picture in pixels])
        expected = classifier.classify(features).probabilities.numpy()
        (found,) = session.run(["probabilities"], {PICTURES: pixels})
        largest = float(np.abs(found - expected).max())
        if not largest <= TOLERANCE:
            raise UserError(
                f"The ONNX file of {backbone.name} differs from torch by {largest:.1g} in "
                f"probabilities, more than {TOLERANCE:g}: it is not written. Export without "
                "--tower: head.onnx takes the features of any image tower."
            )

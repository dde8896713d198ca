"""Writes the head of a classifier as an ONNX graph: image features in, probabilities out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mocoop.classifiers.exported_head import ExportedHead
from mocoop.classifiers.onnx_nodes import FLOAT, Nodes
from mocoop.errors import UserError
from mocoop.storage.atomic import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

    from mocoop.classifiers.prompts import MixtureClassifier

OPSET = 17
IR_VERSION = 8  # old enough for runtimes that are some years old
FEATURES = "image_features"


def check_onnx() -> None:
    """Raises UserError if the package onnx is not installed. Does not import it, so it is fast."""
    if find_spec("onnx") is None:
        raise UserError(
            "Writing head.onnx needs the package onnx, which is not installed. Install it with "
            "`pip install onnx`, or export with --no-onnx."
        )


def write_onnx(path: Path, classifier: MixtureClassifier, with_frozen: bool = False) -> None:
    """Writes the router and the mixture over stored text features as an ONNX file.

    Args:
        path: the file.
        classifier: the mixture.
        with_frozen: as in `add_head`.

    Raises:
        UserError: if the package onnx is missing.
    """
    check_onnx()
    import onnx
    from onnx import helper

    experts, classes, dim = classifier.soft.shape
    new = Nodes("head")
    add_head(new, classifier, with_frozen)
    dim *= 2 if with_frozen else 1
    info: Any = helper.make_tensor_value_info
    outputs = {"probabilities": classes, "logits": classes, "weights": experts, "scores": experts}
    graph = helper.make_graph(
        new.nodes,
        "mocoop-head",
        [info(FEATURES, FLOAT, ["batch", dim])],
        [info(name, FLOAT, ["batch", size]) for name, size in outputs.items()],
        new.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    model.producer_name = "mocoop"
    onnx.checker.check_model(model)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def add_head(new: Nodes, classifier: MixtureClassifier, with_frozen: bool = False) -> None:
    """Adds `model.mix` over stored text features: `s * sum_k a_k <f, soft[g_k, c]>`.

    From `image_features` (batch, dim) it makes `scores` and `weights` (batch, experts), `experts`
    (batch, chosen), the numbers of the chosen experts, the largest weight first, and `logits` and
    `probabilities` (batch, classes).

    Args:
        new: the graph.
        classifier: the mixture.
        with_frozen: whether the features are (batch, 2 dim): behind the tuned tower's stands the
            frozen one's, which the router sees.
    """
    experts, classes, dim = classifier.soft.shape
    text = _array(classifier.soft).reshape(experts * classes, dim).T * classifier.logit_scale
    if classifier.gate is None:
        # With one expert, the weight is 1 for every image.
        gate, bias = np.zeros((1, dim)), np.zeros(1)
    else:
        gate, bias = _array(classifier.gate.weight), _array(classifier.gate.bias)
    seen = routed = FEATURES
    if with_frozen:
        seen, routed = "head.tuned", "head.frozen"
        new.add_to("Split", (FEATURES, new.constant([dim, dim], np.int64)), (seen, routed), axis=1)
    one = new.constant([1], np.int64)
    count = new.constant([classifier.num_chosen], np.int64)
    by_expert = new.constant([-1, experts, classes], np.int64)
    bias_row = None
    if isinstance(classifier, ExportedHead):
        seen = _adapted(new, classifier, seen)
        bias_row = classifier.bias
    flat = new.add("MatMul", seen, new.constant(text, np.float32))
    if bias_row is not None:
        flat = new.add("Add", flat, new.constant(_array(bias_row), np.float32))
    expert_logits = new.add("Reshape", flat, by_expert)
    router = [new.constant(value, np.float32) for value in (gate, bias)]
    new.add("Gemm", routed, *router, transB=1, output="scores")
    new.add_to("TopK", ("scores", count), ("head.best", "experts"), axis=1)
    chosen_weights = new.add("Softmax", "head.best", axis=1)
    none = new.add("ConstantOfShape", new.add("Shape", "scores"))
    new.add("ScatterElements", none, "experts", chosen_weights, axis=1, output="weights")
    mixed = new.add("MatMul", new.add("Unsqueeze", "weights", one), expert_logits)
    new.add("Squeeze", mixed, one, output="logits")
    new.add("Softmax", "logits", axis=1, output="probabilities")


def _adapted(new: Nodes, head: ExportedHead, features: str) -> str:
    """Returns the image features as an adapter changes them; the same without one."""
    own = head.adapter
    if own is None:
        return features
    hidden = features
    for weight in (own.down, own.up):
        linear = new.add("MatMul", hidden, new.constant(_array(weight).T, np.float32))
        hidden = new.add("Relu", linear)
    change = new.add("Mul", hidden, new.constant(own.ratio, np.float32))
    kept = new.add("Mul", features, new.constant(1 - own.ratio, np.float32))
    return new.add("LpNormalization", new.add("Add", change, kept), axis=1, p=2)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy()

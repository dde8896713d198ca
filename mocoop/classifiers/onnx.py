"""Writes the head of a classifier as an ONNX graph: image features in, probabilities out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mocoop.errors import UserError
from mocoop.storage.atomic import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

    from mocoop.classifiers.prompts import MixtureClassifier

OPSET = 17
IR_VERSION = 8  # old enough for runtimes that are some years old


def check_onnx() -> None:
    """Raises UserError if the package onnx is not installed. Does not import it, so it is fast."""
    if find_spec("onnx") is None:
        raise UserError(
            "Writing head.onnx needs the package onnx, which is not installed. Install it with "
            "`pip install onnx`, or export with --no-onnx."
        )


def write_onnx(path: Path, classifier: MixtureClassifier, with_frozen: bool = False) -> None:
    """Writes the router and the mixture over stored text features as an ONNX file.

    The graph is `model.mix`: `s * sum_k a_k <f, soft[g_k, c]>`.

    Args:
        path: the file.
        classifier: the mixture.
        with_frozen: whether the graph's features are twice as long: those of the tuned image
            tower, then those of the frozen one, which the router sees.

    Raises:
        UserError: if the package onnx is missing.
    """
    check_onnx()
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    soft = classifier.soft
    experts, classes, dim = soft.shape
    values = {
        "text": _array(soft).reshape(experts * classes, dim).T * classifier.logit_scale,
        "by_expert": np.array([-1, experts, classes], dtype=np.int64),
        "one": np.array([1], dtype=np.int64),
    }
    node = helper.make_node
    seen = routed = "image_features"
    nodes = []
    if with_frozen:
        seen, routed = "tuned_features", "frozen_features"
        values["sizes"] = np.array([dim, dim], dtype=np.int64)
        nodes.append(node("Split", ["image_features", "sizes"], [seen, routed], axis=1))
    nodes += [
        node("MatMul", [seen, "text"], ["flat_logits"]),
        node("Reshape", ["flat_logits", "by_expert"], ["expert_logits"]),
    ]
    if classifier.gate is None:
        # With one expert, the weight is 1 for every image.
        values |= {"gate": np.zeros((1, dim), np.float32), "gate_bias": np.zeros(1, np.float32)}
    else:
        gate = classifier.gate
        values |= {"gate": _array(gate.weight), "gate_bias": _array(gate.bias)}
    values["k"] = np.array([classifier.num_chosen], dtype=np.int64)
    nodes += [
        node("Gemm", [routed, "gate", "gate_bias"], ["scores"], transB=1),
        node("TopK", ["scores", "k"], ["best", "chosen"], axis=1),
        node("Softmax", ["best"], ["chosen_weights"], axis=1),
        node("Shape", ["scores"], ["scores_shape"]),
        node("ConstantOfShape", ["scores_shape"], ["none"]),
        node("ScatterElements", ["none", "chosen", "chosen_weights"], ["weights"], axis=1),
        node("Unsqueeze", ["weights", "one"], ["row"]),
        node("MatMul", ["row", "expert_logits"], ["mixed"]),
        node("Squeeze", ["mixed", "one"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    info: Any = helper.make_tensor_value_info
    outputs = {"probabilities": classes, "logits": classes, "weights": experts, "scores": experts}
    graph = helper.make_graph(
        nodes,
        "mocoop-head",
        [info("image_features", TensorProto.FLOAT, ["batch", dim * (1 + with_frozen)])],
        [info(name, TensorProto.FLOAT, ["batch", size]) for name, size in outputs.items()],
        [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    model.producer_name = "mocoop"
    onnx.checker.check_model(model)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy()

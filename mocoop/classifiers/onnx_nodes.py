"""Writes an ONNX graph like a program: every call adds a node and returns its output's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

FLOAT, DOUBLE = 1, 11  # ONNX's numbers of the two types


@dataclass
class Nodes:
    """The nodes and the constants of a graph, or of a part of it."""

    prefix: str
    """Starts all names, so that parts can be put together."""
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node with one output and returns the output's name.

        Args:
            operator: the operator's name in ONNX.
            inputs: names of its inputs.
            output: the name of its output; by default a new one.
            attributes: the operator's attributes.
        """
        output = output or f"{self.prefix}.{operator.lower()}_{len(self.nodes)}"
        self.add_to(operator, inputs, (output,), **attributes)
        return output

    def add_to(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Adds a node with any number of outputs, whose names are given."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def constant(self, value: Any, dtype: type[np.generic] = np.float64) -> str:
        """Adds a constant and returns its name."""
        from onnx import numpy_helper

        name = f"{self.prefix}.constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype=dtype), name))
        return name

    def branch(self, output: str, shape: tuple[str | int, ...]) -> GraphProto:
        """Returns these nodes as a branch of an `If`, with one output of float64.

        It may use names of the graph around it.
        """
        from onnx import helper

        outputs = [helper.make_tensor_value_info(output, DOUBLE, shape)]
        return helper.make_graph(self.nodes, self.prefix, [], outputs, self.constants)

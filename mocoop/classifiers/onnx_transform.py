"""CLIP's image transform in ONNX: RGB pictures of any size in, the image tower's input out.

ONNX's own operator Resize is not Pillow's: with cubic antialiasing, onnxruntime's result differs
in one of 40 values, by up to 12 of 255. So these nodes compute what Pillow computes: its weights
with 22 bits, in whole numbers that float64 holds exactly, as two matrix products with rounding to
8 bits after each. The values are equal, not similar.
"""

from __future__ import annotations

import numpy as np
import PIL
from open_clip.transform import PreprocessCfg

from mocoop.classifiers.onnx_nodes import DOUBLE, FLOAT, Nodes
from mocoop.errors import UserError

_MODES = ("shortest", "squash")
_REACH = {"bicubic": 2.0, "bilinear": 1.0}  # of Pillow's filters, in output pixels
_UNIT = 2.0**22  # Pillow's weights are multiples of 1/_UNIT
_ROWS_FIRST = 13  # the first Pillow that resizes rows first where that is less work


def add_transform(new: Nodes, preprocess: PreprocessCfg, pictures: str, images: str) -> int:
    """Adds the image transform and returns the size of its output, in pixels.

    The pictures of a batch have the same size. Pictures that were resized and cropped before
    keep their pixels.

    Args:
        new: the graph.
        preprocess: the settings of the transform.
        pictures: name of the input, uint8 (batch, height, width, 3).
        images: name of the output, float32 (batch, 3, side, side).

    Raises:
        UserError: for a transform that has more than resizing to a square and cropping.
    """
    size, mode, method = preprocess.size, preprocess.resize_mode, preprocess.interpolation
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) > 1 or mode not in _MODES or method not in _REACH:
        raise UserError(
            f"This CLIP's image transform (size {size}, {mode}, {method}) cannot be written "
            "as ONNX exactly: expected a square, shortest or squash, bicubic or bilinear. Export "
            "without --tower."
        )
    (side,) = sides
    shape = new.add("Shape", pictures)
    lengths = [new.add("Gather", shape, new.constant(axis, np.int64)) for axis in (1, 2)]
    target = new.constant(side, np.int64)
    if mode == "shortest":
        short = new.add("Min", *lengths)
        resized = [new.add("Div", new.add("Mul", n, target), short) for n in lengths]
    else:
        resized = [target, target]
    pairs = list(zip(lengths, resized, strict=True))
    rows, columns = (_weights(new, before, after, side, method) for before, after in pairs)
    columns = new.add("Transpose", columns)
    planes = new.add("Cast", new.add("Transpose", pictures, perm=[0, 3, 1, 2]), to=DOUBLE)
    small = _resized(new, planes, rows, columns, _rows_first(new, pairs), side)
    share = new.add("Div", new.add("Cast", small, to=FLOAT), new.constant(255, np.float32))
    mean, std = (
        new.constant(np.reshape(values, (1, 3, 1, 1)), np.float32)
        for values in (preprocess.mean, preprocess.std)
    )
    new.add("Div", new.add("Sub", share, mean), std, output=images)
    return side


def _rows_first(new: Nodes, pairs: list[tuple[str, str]]) -> str:
    """Adds the choice of this machine's Pillow: whether it resizes along the height first.

    Args:
        new: the graph.
        pairs: height and width, each before and after.
    """
    height, width = (new.add("Sub", before, after) for before, after in pairs)
    twice = new.add("Mul", width, new.constant(2, np.int64))
    if int(PIL.__version__.partition(".")[0]) < _ROWS_FIRST:
        return new.constant(False, np.bool_)
    smaller = new.add("Greater", height, new.constant(0, np.int64))
    return new.add("And", smaller, new.add("Greater", height, twice))


def _resized(new: Nodes, planes: str, rows: str, columns: str, rows_first: str, side: int) -> str:
    """Adds the two matrix products, in the order that `rows_first` says."""
    branches = {}
    for name in ("then", "else"):
        part = Nodes(f"{new.prefix}.{name}")
        if name == "then":
            half = _rounded(part, part.add("MatMul", rows, planes))
            whole = _rounded(part, part.add("MatMul", half, columns))
        else:
            half = _rounded(part, part.add("MatMul", planes, columns))
            whole = _rounded(part, part.add("MatMul", rows, half))
        branches[f"{name}_branch"] = part.branch(whole, ("batch", 3, side, side))
    return new.add("If", rows_first, **branches)


def _weights(new: Nodes, before: str, after: str, side: int, method: str) -> str:
    """Adds the weights of one axis: (side, pixels), whole numbers of 22 bits.

    Args:
        new: the graph.
        before: the number of pixels of the picture along this axis.
        after: the number of pixels that it is resized to.
        side: how many of these are kept, in the middle.
        method: `bicubic` or `bilinear`.
    """
    zero, half, one = (new.constant(value) for value in (0.0, 0.5, 1.0))
    pixels = new.add("Cast", before, to=DOUBLE)
    resized = new.add("Cast", after, to=DOUBLE)
    scale = new.add("Div", pixels, resized)
    stretch = new.add("Max", scale, one)
    reach = new.add("Mul", new.constant(_REACH[method]), stretch)
    margin = new.add("Sub", resized, new.constant(side))
    first = new.add("Round", new.add("Mul", margin, half))  # to even, as Python's round
    kept = new.add("Add", new.constant(np.arange(side)[:, None]), first)
    center = new.add("Mul", new.add("Add", kept, half), scale)  # (side, 1)
    low = new.add("Max", new.add("Add", new.add("Sub", center, reach), half), zero)
    high = new.add("Add", new.add("Add", center, reach), half)
    at = new.add("Range", zero, pixels, one)
    offset = new.add("Add", new.add("Sub", at, center), half)  # (side, pixels)
    distance = new.add("Abs", new.add("Mul", offset, new.add("Div", one, stretch)))
    inside = new.add(
        "And",
        new.add("GreaterOrEqual", at, new.add("Floor", low)),
        new.add("Less", at, new.add("Floor", high)),
    )
    values = (_cubic if method == "bicubic" else _triangle)(new, distance)
    values = new.add("Where", inside, values, zero)
    total = new.add("ReduceSum", values, new.constant([1], np.int64), keepdims=1)
    share = new.add("Div", values, total)
    scaled = new.add("Mul", new.add("Abs", share), new.constant(_UNIT))
    whole = new.add("Floor", new.add("Add", scaled, half))
    return new.add("Mul", new.add("Sign", share), whole)


def _cubic(new: Nodes, distance: str) -> str:
    """Adds Pillow's bicubic filter, with a = -0.5, in the order of its operations."""
    times = lambda x, y: new.add("Mul", x, y)
    plus = lambda x, y: new.add("Add", x, new.constant(y))
    near = times(distance, plus(times(new.constant(1.5), distance), -2.5))
    near = plus(times(near, distance), 1.0)
    far = plus(times(plus(times(plus(distance, -5.0), distance), 8.0), distance), -4.0)
    far = times(far, new.constant(-0.5))
    is_far = new.add("Less", distance, new.constant(2.0))
    outer = new.add("Where", is_far, far, new.constant(0.0))
    return new.add("Where", new.add("Less", distance, new.constant(1.0)), near, outer)


def _triangle(new: Nodes, distance: str) -> str:
    """Adds Pillow's bilinear filter."""
    return new.add("Max", new.add("Sub", new.constant(1.0), distance), new.constant(0.0))


def _rounded(new: Nodes, total: str) -> str:
    """Adds Pillow's rounding of a weighted sum to 8 bits."""
    shifted = new.add("Add", total, new.constant(_UNIT / 2))
    whole = new.add("Floor", new.add("Div", shifted, new.constant(_UNIT)))
    return new.add("Clip", whole, new.constant(0.0), new.constant(255.0))

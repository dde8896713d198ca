"""Checks of the tensors that measures are computed from; reported numbers are of float64."""

from __future__ import annotations

import torch
from torch import Tensor

from mocoop.errors import UserError

# Sums of rows rounded to bfloat16 deviate from 1 by up to 0.4 %; those of logits by far more.
SUM_TOLERANCE = 1e-2


def as_table(values: Tensor, name: str) -> Tensor:
    """Returns a two-dimensional tensor of finite numbers in float64 on the CPU."""
    if values.ndim != 2 or values.numel() == 0:
        raise UserError(
            f"Expected {name} with one row for each image and at least one row and column; got "
            f"shape {_shape(values)}."
        )
    if not values.is_floating_point():
        raise UserError(f"Expected {name} in floating point; got {values.dtype}.")
    # To the CPU first: not every accelerator has float64.
    table = values.detach().cpu().double()
    if not table.isfinite().all():
        raise UserError(f"Expected finite {name}; got NaN or infinity. Check the model's output.")
    return table


def as_distributions(values: Tensor, name: str) -> Tensor:
    """Returns rows of non-negative numbers that sum to 1 in float64 on the CPU."""
    table = as_table(values, name)
    sums = table.sum(dim=-1)
    if (table < 0).any() or ((sums - 1).abs() > SUM_TOLERANCE).any():
        raise UserError(
            f"Expected {name} from 0 to 1 whose rows sum to 1; got values from "
            f"{table.min():.4g} to {table.max():.4g}, sums from {sums.min():.4g} to "
            f"{sums.max():.4g}. Apply the softmax to logits first."
        )
    return table


def check_labels(labels: Tensor, num_images: int, num_classes: int) -> None:
    """Raises UserError for labels that are not one class index per image."""
    numbers = not labels.is_floating_point() and labels.dtype != torch.bool
    if labels.shape != (num_images,) or not numbers:
        raise UserError(
            f"Expected {num_images} integer labels, one for each image; got shape "
            f"{_shape(labels)} of {labels.dtype}."
        )
    if num_images and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise UserError(
            f"Expected labels from 0 to {num_classes - 1}; got {int(labels.min())} to "
            f"{int(labels.max())}. Use the indices of the {num_classes} classes given here."
        )


def check_same_shape(first: Tensor, second: Tensor, first_name: str, second_name: str) -> None:
    """Raises UserError for two tensors of different shapes."""
    if first.shape != second.shape:
        raise UserError(
            f"Expected {first_name} and {second_name} of the same images and experts; got shapes "
            f"{_shape(first)} and {_shape(second)}."
        )


def _shape(values: Tensor) -> tuple[int, ...]:
    return tuple(values.shape)

"""How Tip-Adapter chooses alpha and beta: our grid, and the published grid of every data set."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

_ELEMENTS = 2**24  # numbers in memory at once during a search: 64 MiB

PUBLISHED_BETAS, PUBLISHED_ALPHAS = 200, 20
"""How many values of each the authors' code tries."""


@dataclass(frozen=True)
class TipSearch:
    """The values of alpha and beta that are tried, and those before a search or without one."""

    alphas: tuple[float, ...] = field(repr=False)
    betas: tuple[float, ...] = field(repr=False)
    alpha: float
    """Residual ratio with which keys are trained, kept where there are no validation images."""
    beta: float
    """Sharpness, likewise."""


OWN_SEARCH = TipSearch(
    tuple(round(0.1 + 0.1 * step, 1) for step in range(30)),  # 0.1 to 3
    tuple(round(0.1 + 0.3 * step, 1) for step in range(24)),  # 0.1 to 7
    1.0,
    5.5,
)
"""A coarse grid for every data set, from the values that the paper names."""

# Data set → largest beta, largest alpha, first alpha: search_scale and init_alpha in the
# authors' configurations. The first beta is 1 in all of them.
_SCALES = {
    "imagenet": (7.0, 3.0, 1.17),
    "caltech101": (12.0, 5.0, 3.0),
    "oxford_pets": (7.0, 3.0, 1.17),
    "stanford_cars": (20.0, 10.0, 3.0),
    "oxford_flowers": (50.0, 50.0, 10.0),
    "food101": (10.0, 10.0, 1.17),
    "fgvc_aircraft": (30.0, 30.0, 5.0),
    "sun397": (12.0, 10.0, 1.17),
    "dtd": (13.0, 13.0, 2.0),
    "eurosat": (12.0, 10.0, 2.0),
    "ucf101": (7.0, 3.0, 3.0),
}
_FIRST_BETA = 1.0


def published_search(data: str) -> TipSearch:
    """Returns the search of the authors' code for a data set.

    It tries 200 values of beta and 20 of alpha, evenly spaced from 0.1 to just below the data
    set's largest ones. Data sets of which nothing was published get ImageNet's values.

    Args:
        data: the data set's name, such as `eurosat`.
    """
    beta, alpha, first = _SCALES.get(data, _SCALES["imagenet"])
    return TipSearch(
        _spaced(alpha, PUBLISHED_ALPHAS), _spaced(beta, PUBLISHED_BETAS), first, _FIRST_BETA
    )


def best_mixture(
    zero_shot: Tensor, similarity: Tensor, key_labels: Tensor, labels: Tensor, search: TipSearch
) -> tuple[float, float, float]:
    """Returns alpha, beta and the accuracy in percent of the best pair on validation images.

    Of equally good pairs it is the one with the smallest beta, then the smallest alpha.

    Args:
        zero_shot: zero-shot logits of the validation images, (images, classes).
        similarity: cosines of the images to the keys, (images, keys).
        key_labels: the keys' classes, (keys,).
        labels: the images' classes, (images,).
        search: the values to try.
    """
    num_images, num_classes = zero_shot.shape
    slots = _slots(key_labels, num_classes)  # (classes, most keys of a class)
    alphas = torch.tensor(search.alphas, device=zero_shot.device, dtype=zero_shot.dtype)
    right = torch.zeros(len(search.betas), len(alphas), dtype=torch.long, device=zero_shot.device)
    widest = max(slots.numel(), len(alphas) * num_classes)
    for part in torch.arange(num_images, device=labels.device).split(max(1, _ELEMENTS // widest)):
        # An empty slot is a key at minus infinity, which does not vote.
        padded = torch.nn.functional.pad(similarity[part], (0, 1), value=float("-inf"))
        distance = 1 - padded[:, slots]  # (images, classes, most keys of a class)
        for row, beta in enumerate(search.betas):
            votes = torch.exp(-beta * distance).sum(dim=-1)  # (images, classes)
            logits = zero_shot[part] + alphas[:, None, None] * votes  # (alphas, images, classes)
            right[row] += (logits.argmax(dim=-1) == labels[part]).sum(dim=-1)
    best = int(right.flatten().cpu().argmax())  # the first of equal ones
    beta, alpha = search.betas[best // len(alphas)], search.alphas[best % len(alphas)]
    return alpha, beta, 100.0 * int(right.max()) / num_images


def _slots(key_labels: Tensor, num_classes: int) -> Tensor:
    """Returns each class's keys by index, (classes, most keys of a class); -1 fills up."""
    counts = key_labels.bincount(minlength=num_classes)
    order = key_labels.argsort(stable=True)
    first = counts.cumsum(0) - counts  # (classes,)
    place = torch.arange(len(order), device=order.device) - first[key_labels[order]]
    slots = order.new_full((num_classes, int(counts.max())), -1)
    slots[key_labels[order], place] = order
    return slots


def _spaced(largest: float, count: int) -> tuple[float, ...]:
    """Returns evenly spaced values from 0.1 to just below the largest."""
    return tuple(0.1 + step * (largest - 0.1) / count for step in range(count))

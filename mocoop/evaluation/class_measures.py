"""Numbers that count every class alike, and which classes are mistaken for which.

Pure functions of tensors. Shares are summed in float64 on the CPU and told in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mocoop.errors import UserError
from mocoop.evaluation.checks import as_distributions, check_labels


def confusion_counts(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Returns how many images of each true class are told to be each class, (classes, classes).

    Rows are true classes, columns predicted ones.

    Args:
        probabilities: (images, classes), rows that sum to 1.
        labels: true classes, (images,).

    Raises:
        UserError: for tensors that do not fit.

    >>> confusion_counts(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 0]))
    tensor([[1, 1],
            [0, 0]])
    """
    check_labels(labels, *as_distributions(probabilities, "probabilities").shape)
    number = probabilities.shape[1]
    predicted = probabilities.argmax(dim=-1).cpu()  # (images,)
    cells = labels.cpu() * number + predicted
    return torch.bincount(cells, minlength=number * number).view(number, number)


def mean_class_accuracy(counts: Tensor) -> float:
    """Returns the mean over classes of the share of their images told right, in percent.

    Over the classes that have test images. Source: Radford et al., arXiv 2103.00020, table 9,
    for Caltech101, Pets, Flowers102 and Aircraft.

    Args:
        counts: from `confusion_counts`, (classes, classes).

    >>> mean_class_accuracy(torch.tensor([[3, 1], [0, 2]]))
    87.5
    """
    right, there, _ = _of_classes(counts)
    return 100.0 * (right / there).mean().item()


def macro_f1(counts: Tensor) -> float:
    """Returns the mean over classes of F1, in percent.

    F1 is the harmonic mean of precision and recall, 0 for a class that is never told right.
    Over the classes that have test images, as in Dassl, the toolbox that CoOp runs in.

    Args:
        counts: from `confusion_counts`, (classes, classes).

    >>> round(macro_f1(torch.tensor([[3, 1], [0, 2]])), 3)
    82.857
    """
    right, there, told = _of_classes(counts)
    # 2pr / (p + r) without the two divisions that could be 0 / 0.
    return 100.0 * (2 * right / (there + told)).mean().item()


def top_accuracy(probabilities: Tensor, labels: Tensor, count: int = 5) -> float | None:
    """Returns the share of images whose class is among the most probable ones, in percent.

    Of equally probable classes the first counts as the more probable one. None where there are
    no more classes than that, so that all images would be right.

    Args:
        probabilities: (images, classes), rows that sum to 1.
        labels: true classes, (images,).
        count: how many classes an image may name.

    Raises:
        UserError: for tensors that do not fit, or a count below 1.
    """
    if count < 1:
        raise UserError(f"count must be at least 1; got {count}.")
    table = as_distributions(probabilities, "probabilities")
    check_labels(labels, *table.shape)
    if table.shape[1] <= count:
        return None
    order = table.argsort(dim=-1, descending=True, stable=True)[:, :count]  # (images, count)
    return 100.0 * (order == labels.cpu()[:, None]).any(dim=-1).double().mean().item()


def confusion_by_name(counts: Tensor, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Returns true class → predicted class → images, without the pairs that never happen.

    Args:
        counts: from `confusion_counts`, (classes, classes).
        names: of the classes; equal ones (ImageNet has two pairs) are numbered.

    >>> confusion_by_name(torch.tensor([[3, 1], [0, 2]]), ("cat", "dog"))
    {'cat': {'cat': 3, 'dog': 1}, 'dog': {'dog': 2}}
    """
    called = distinct(names)
    found: dict[str, dict[str, int]] = {}
    rows, columns = counts.nonzero(as_tuple=True)
    cells = zip(rows.tolist(), columns.tolist(), counts[rows, columns].tolist(), strict=True)
    for true, predicted, images in cells:
        found.setdefault(called[true], {})[called[predicted]] = images
    return found


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names, the second and later ones of the same name with a number behind.

    >>> distinct(("tench", "missile", "missile"))
    ('tench', 'missile', 'missile (2)')
    """
    found: dict[str, None] = {}
    taken = set(names)
    for name in names:
        called, number = name, 1
        while called in found or (number > 1 and called in taken):
            number += 1
            called = f"{name} ({number})"
        found[called] = None
    return tuple(found)


def frequent_mistakes(
    confusion: Mapping[str, Mapping[str, int]], most: int | None = 10
) -> list[tuple[str, str, int]]:
    """Returns true class, predicted class and images of the most frequent mistakes.

    Args:
        confusion: from `confusion_by_name`.
        most: how many to return at most, None for all; of equally frequent ones the first in
            label order.
    """
    mistakes = [
        (true, predicted, images)
        for true, row in confusion.items()
        for predicted, images in row.items()
        if predicted != true
    ]
    return sorted(mistakes, key=lambda mistake: -mistake[2])[:most]


def _of_classes(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns images told right, there are, and told to be, of each class that has any.

    Raises:
        UserError: for counts that are no square table, or hold no image.
    """
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.sum() > 0:
        raise UserError(
            "Expected a square table of counts, true classes down and predicted ones across, "
            f"with at least one image; got shape {tuple(counts.shape)}. Make one with "
            "confusion_counts."
        )
    table = counts.cpu().double()
    right, there, told = table.diagonal(), table.sum(dim=1), table.sum(dim=0)  # (classes,) each
    has = there > 0
    return right[has], there[has], told[has]

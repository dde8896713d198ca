"""Labels and class names that a program passes as arguments: checks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from mocoop.datasets.class_folders import tidy
from mocoop.errors import UserError


def read_labels(labels: Any, images: int, argument: str = "labels") -> np.ndarray:
    """Returns labels as an array (images,).

    Args:
        labels: one label per image: strings or integers.
        images: how many images there are.
        argument: the argument's name, for messages.

    Raises:
        ValueError: if there is not one label per image, or the labels are not classes.
    """
    if labels is None:
        raise UserError(
            "MoCoOpClassifier requires y to be passed, but the target y is None: give "
            f"{argument}, the class of every image."
        )
    column = column_or_1d(labels, warn=True)
    if len(column) != images:
        raise UserError(
            f"Expected a label for every image; got {images} images and {len(column)} {argument}."
        )
    assert_all_finite(column, input_name=argument)
    check_classification_targets(column)
    return column


def name_classes(
    classes: Sequence[Any], class_names: Mapping[Any, str] | Sequence[str] | None
) -> tuple[str, ...]:
    """Returns the name of each class in the prompts.

    Args:
        classes: the labels of the classes.
        class_names: label → name, or a list of the names of the labels 0, 1, 2, …; if None, the
            labels themselves are the names.

    Raises:
        UserError: if there is only one class, or a class has no name.
    """
    if len(classes) < 2:
        raise UserError(
            f"Expected images of at least two classes; got one class, {classes[0]!r}. Add images "
            "of another class."
        )
    if class_names is None:
        return tuple(tidy(_text(label)) for label in classes)
    if isinstance(class_names, str) or not isinstance(
        class_names, (Mapping, Sequence, np.ndarray)
    ):
        raise UserError(
            "class_names must be a dict label → name, or a list of the names of the labels 0, 1, "
            f"2, …; got {class_names!r}."
        )
    named = (
        class_names if isinstance(class_names, Mapping) else dict(enumerate(map(str, class_names)))
    )
    missing = [label for label in classes if label not in named]
    if missing:
        raise UserError(
            f"class_names has no name for the class {missing[0]!r}: it has names for "
            f"{', '.join(map(repr, named)) or 'none'}. Add the name, or leave class_names out to "
            "use the labels as names."
        )
    return tuple(tidy(str(named[label])) for label in classes)


def label_indices(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Returns each label's index in the sorted classes, (images,).

    Raises:
        UserError: for a label that is not one of the classes.
    """
    unknown = sorted(set(labels.tolist()) - set(classes.tolist()), key=str)
    if unknown:
        raise UserError(
            f"val_labels has the class {unknown[0]!r}, which has no training image. Add training "
            "images of it, or leave its validation images out."
        )
    return np.searchsorted(classes, labels)


def _text(label: Any) -> str:
    """Returns a label as text; 3.0 becomes "3"."""
    if isinstance(label, (float, np.floating)) and float(label).is_integer():
        return str(int(label))
    return str(label)

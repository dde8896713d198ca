"""What is kept of many classified pictures, and its tables; no Streamlit."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from PIL import Image

from app.bench import words
from app.common.brightening import brightened
from mocoop.classifiers.base import Classifier
from mocoop.errors import UserError
from mocoop.evaluation.many_pictures import (
    GivenPicture,
    PictureRow,
    Progress,
    classify_many,
    rows_of,
)
from mocoop.evaluation.picture_labels import (
    LabelledResult,
    labelled_result,
    labels_from_csv,
    labels_from_folders,
    match_labels,
    with_truth,
)
from mocoop.evaluation.unlike_training import TrainingDistances
from mocoop.features.encode import ImageEncoder

SIDE = 64  # pixels of a thumbnail


@dataclass(frozen=True)
class Outcome:
    """What is kept of many pictures: no picture itself."""

    rows: tuple[PictureRow, ...]
    unreadable: dict[str, str]
    """Name → reason."""
    result: LabelledResult | None
    """None without any label."""
    thumbnails: dict[str, str] = field(repr=False)
    """Name → a small JPEG as a data URL."""
    brighter: dict[str, str] = field(repr=False)
    """The same, made lighter, of the dark pictures alone."""


def classify_all(
    classifier: Classifier,
    encoder: ImageEncoder,
    pictures: Sequence[GivenPicture],
    labels: Mapping[str, str],
    training: TrainingDistances | None,
    progress: Progress,
) -> Outcome:
    """Returns what a run says about pictures; pictures that cannot be read are named.

    Args:
        classifier: of the run.
        encoder: of the run.
        pictures: the pictures.
        labels: name → true label, of those that have one.
        training: the run's training images, if it has any.
        progress: called after every picture.
    """
    rows: list[PictureRow] = []
    unreadable: dict[str, str] = {}
    thumbnails: dict[str, str] = {}
    brighter: dict[str, str] = {}

    def keep(name: str, image: Image.Image) -> None:
        small = image.copy()
        small.thumbnail((SIDE, SIDE))
        thumbnails[name] = data_url(small)
        bright = brightened(small)
        if bright is not small:
            brighter[name] = data_url(bright)

    for batch in classify_many(classifier, encoder, pictures, unreadable, progress, keep):
        rows += rows_of(batch, training)
    known = with_truth(rows, labels, classifier.class_names)
    result = labelled_result(known, labels, classifier.class_names) if labels else None
    return Outcome(tuple(known), unreadable, result, thumbnails, brighter)


def labels_of(names: Sequence[str], table: bytes | None, table_name: str) -> dict[str, str]:
    """Returns picture → true label: from the table, else from the picture's folder in a zip.

    Raises:
        UserError: for a table that cannot be read or names none of the pictures.
    """
    found = labels_from_folders(names)
    if table is not None:
        listed = match_labels(labels_from_csv(table, table_name), names)
        if not listed:
            raise UserError(
                f"{table_name} names none of the pictures. The column file must hold their names."
            )
        found |= listed
    return found


def pictures_table(
    outcome: Outcome, kind: str = words.ALL, brighten: bool = False
) -> pd.DataFrame:
    """Returns a row per picture of a kind: all, unlike the training images, wrong or right.

    Args:
        outcome: of all pictures.
        kind: one of the kinds in `words`.
        brighten: whether dark pictures are shown lighter.
    """
    keep = {
        words.ALL: lambda row: True,
        words.UNLIKE: lambda row: bool(row.unlike),
        words.WRONG: lambda row: row.right is False,
        words.RIGHT: lambda row: row.right is True,
    }[kind]
    rows = [row for row in outcome.rows if keep(row)]
    shown = outcome.thumbnails | (outcome.brighter if brighten else {})
    table = pd.DataFrame(
        {
            "picture": [shown.get(row.name) for row in rows],
            "file": [row.name for row in rows],
            "label": [row.label for row in rows],
            "probability": [100 * row.probability for row in rows],
            "true label": [row.truth for row in rows],
            "unlike": [row.unlike for row in rows],
            "quantile": [row.quantile for row in rows],
            "distance": [row.distance for row in rows],
            "experts": [
                ", ".join(f"{name} {100 * weight:.0f} %" for name, weight in row.experts)
                for row in rows
            ],
            "expert entropy": [row.routing_entropy for row in rows],
            "class entropy": [row.class_entropy for row in rows],
            "notes": ["; ".join(row.notes) for row in rows],
        }
    )
    empty = [
        name
        for name, there in (
            ("true label", any(row.truth is not None for row in outcome.rows)),
            ("unlike", any(row.unlike is not None for row in outcome.rows)),
            ("quantile", any(row.unlike is not None for row in outcome.rows)),
            ("distance", any(row.unlike is not None for row in outcome.rows)),
            ("experts", any(row.experts for row in outcome.rows)),
            ("expert entropy", any(row.experts for row in outcome.rows)),
            ("notes", any(row.notes for row in outcome.rows)),
        )
        if not there
    ]
    return table.drop(columns=empty)


def unreadable_table(outcome: Outcome) -> pd.DataFrame:
    """Returns a row per picture that could not be read, with the reason."""
    return pd.DataFrame(list(outcome.unreadable.items()), columns=["file", "reason"])


def confusion_table(result: LabelledResult) -> pd.DataFrame:
    """Returns the counts of true (rows) and predicted classes (columns) that occur."""
    predicted = sorted({name for row in result.confusion.values() for name in row})
    rows = {
        true: [row.get(name, 0) for name in predicted] for true, row in result.confusion.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=predicted)
    return table.rename_axis("true class")


def data_url(small: Image.Image) -> str:
    """Returns a small picture as the data URL of a JPEG."""
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"

"""The command predict: classifies image files with a finished run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mocoop.cli.console import MISTAKES, counted, print_answers, print_json, progress_bar
from mocoop.cli.option_types import MaybePath, RunName
from mocoop.cli.output_paths import check_file
from mocoop.errors import UserError
from mocoop.runs.paths import find_run
from mocoop.slow_imports import import_slow

if TYPE_CHECKING:
    from mocoop.evaluation.many_pictures import Batch, PictureRow
    from mocoop.evaluation.picture_labels import LabelledResult
    from mocoop.evaluation.unlike_training import TrainingDistances
    from mocoop.runs.run import Run

FOLDERS = "folders"  # value of --labels
NAMED = 3  # how many files that are left aside are named


@dataclass(frozen=True)
class PredictCommand:
    """Classify images with a finished run: label, probabilities, experts.

    Pictures that cannot be read are reported and skipped; the exit code is then 2. Other files in
    folders are left aside. --csv and --json name every one of both kinds, and why.

    Examples:
        mocoop predict RUN photo.jpg
        mocoop predict RUN folder --csv table.csv
        mocoop predict RUN folder --csv table.csv --labels folders
    """

    run: RunName
    """Folder or name of the run."""
    images: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="IMAGE ...", help_behavior_hint=""),
    ]
    """Image files, or folders of images."""
    top: int = 3
    """Number of labels to print for each image."""
    csv: MaybePath = None
    """Write a table to this CSV file instead of printing every image: label, probability, experts,
    weights, entropy, and whether the image is unlike the run's training images."""
    labels: str | None = None
    """True labels: `folders` (an image's folder is its label), or a CSV file with the columns file
    and label. Accuracy with its interval, macro-F1 and mistakes are then printed too."""
    json: bool = False
    """Print one JSON document."""


def predict(command: PredictCommand) -> None:
    """Classifies image files with a finished run; this does not need the text tower.

    Files that cannot be read are reported on standard error and skipped.

    Raises:
        UserError: if the run or all files are missing; and at the end, if some files could not
            be read.
    """
    if command.top < 1:
        raise UserError(f"--top must be at least 1; got {command.top}.")
    path = find_run(command.run)
    from mocoop.evaluation.given_files import find_files

    found = find_files(command.images)
    files = [str(file) for file in found.pictures]
    _tell_aside(found.aside)
    check_file("--csv", command.csv)
    labels = _labels(command.labels, files)
    import_slow()
    from mocoop.classifiers.saved import open_classifier, run_encoder
    from mocoop.evaluation.many_pictures import (
        GivenPicture,
        classify_many,
        distinct_names,
        many_csv,
        rows_of,
    )
    from mocoop.runs.run import Run
    from mocoop.storage.atomic import write_text
    from mocoop.storage.images import open_image

    run = Run(path)
    encoder = run_encoder(run)
    classifier = open_classifier(run, loaded=encoder.backbone)
    table = command.csv is not None
    training = _training(run) if table else None
    white = _white(run, found.pictures)
    pictures = [
        GivenPicture(name, partial(open_image, Path(file), white=white))
        for name, file in zip(distinct_names(files), files, strict=True)
    ]
    answers: list[dict[str, Any]] = []
    rows: list[PictureRow] = []
    unreadable: dict[str, str] = {}
    told = 0
    with progress_bar(table and not command.json, "classifying") as progress:
        for batch in classify_many(classifier, encoder, pictures, unreadable, progress):
            told = _tell_unreadable(unreadable, told)
            rows += rows_of(batch, training)
            if command.json or not table:
                answered = _answers(batch)
                answers += answered if command.json else []
                if not command.json:
                    print_answers(answered, command.top)
    _tell_unreadable(unreadable, told)
    result = None
    if labels is not None:
        rows, result = _compared(rows, labels, classifier.class_names)
    if command.csv is not None:
        write_text(command.csv, many_csv(rows, unreadable, found.aside))
    if command.json:
        more = {} if result is None else {"labelled": asdict(result)}
        left = {"unreadable": unreadable, "left_aside": dict(found.aside)}
        print_json({"run": str(path), "images": answers} | left | more)
    else:
        if table:
            _tell_files(len(rows), len(unreadable), len(found.aside))
        _summary(rows, command.csv, result)
    if unreadable:
        raise UserError(f"{len(unreadable)} of {counted(len(files), 'image')} could not be read.")


def _labels(given: str | None, files: Sequence[str]) -> dict[str, str] | None:
    """Returns image → true label, None if no labels were given.

    Raises:
        UserError: for a CSV file that cannot be read, or names none of the images.
    """
    if given is None:
        return None
    from mocoop.evaluation.picture_labels import (
        labels_from_csv,
        labels_from_folders,
        match_labels,
    )

    if given == FOLDERS:
        # The folder of a file that was named without one, or as `.`, is known to the system.
        whole = {file: os.path.abspath(file) for file in files}
        known = labels_from_folders(list(whole.values()))
        return {file: known[path] for file, path in whole.items() if path in known}
    try:
        content = Path(given).read_bytes()
    except OSError as error:
        raise UserError(
            f"--labels {given}: expected `{FOLDERS}` or a CSV file with the columns file and "
            f"label; it cannot be read ({error.strerror})."
        ) from error
    found = match_labels(labels_from_csv(content, given), files)
    if not found:
        raise UserError(f"{given} names none of the images. Give their paths or file names.")
    return found


def _white(run: Run, files: Sequence[Path]) -> float | None:
    """Returns the value that is white in the run's training images, if the given files need it.

    Runs of older versions did not store it: for them it is found out from their data set again.
    """
    from mocoop.datasets import load_dataset
    from mocoop.datasets.brightness import any_deep

    if not any_deep(files):
        return None
    setup = run.setup()
    if setup.white is not None:
        return setup.white
    with suppress(UserError):  # the data set may be gone
        white = load_dataset(setup.config.data).white_value
        if white is not None:
            return white
    print(
        "Some images have more than 8 bits. The run's training images do not say which value is "
        "white, so it is guessed for each image alone.",
        file=sys.stderr,
    )
    return None


def _training(run: Any) -> TrainingDistances | None:
    """Returns the distances among a run's training images; says why if there are none."""
    from mocoop.evaluation.unlike_training import training_distances

    try:
        return training_distances(run)
    except UserError as error:
        print(f"The columns about the training images stay empty: {error}", file=sys.stderr)
        return None


def _compared(
    rows: Sequence[PictureRow], labels: Mapping[str, str], class_names: Sequence[str]
) -> tuple[list[PictureRow], LabelledResult]:
    """Returns the rows with their true classes, and how well the predictions fit them."""
    from mocoop.evaluation.picture_labels import labelled_result, with_truth

    known = with_truth(rows, labels, class_names)
    return known, labelled_result(known, labels, class_names)


def _summary(rows: Sequence[PictureRow], file: Path | None, result: LabelledResult | None) -> None:
    """Prints where the table is, how many images are unlike the training images, and accuracy."""
    if file is not None:
        print(f"{file}: {counted(len(rows), 'image')}")
        judged = [row for row in rows if row.unlike is not None]
        if judged:
            print(f"unlike the training images: {sum(bool(row.unlike) for row in judged)}")
    if result is None:
        return
    for label, count in result.unknown.items():
        print(f"left out: {counted(count, 'image')} with the label {label!r}, which no class has")
    if result.unlabelled:
        print(f"left out: {counted(result.unlabelled, 'image')} without a label")
    if result.accuracy is None or result.interval is None:
        print("No image has a label that is one of the classes, so there is no accuracy.")
        return
    print(
        f"accuracy {result.accuracy:.2f} % of {counted(result.images, 'labelled image')} (95 % "
        f"interval {result.interval.low:.1f} to {result.interval.high:.1f}), macro-F1 "
        f"{result.macro_f1:.2f} %"
    )
    from mocoop.evaluation.class_measures import frequent_mistakes

    for true, predicted, images in frequent_mistakes(result.confusion, MISTAKES):
        print(f"  mistake {true} → {predicted}: {counted(images, 'image')}")


def _tell_files(classified: int, unreadable: int, aside: int) -> None:
    """Prints what became of all files, if not all were classified."""
    if unreadable or aside:
        total = counted(classified + unreadable + aside, "file")
        print(f"{total}: {classified} classified, {unreadable} not read, {aside} left aside")


def _tell_aside(aside: Mapping[str, str]) -> None:
    """Prints which files in the given folders are left aside, and why, on standard error."""
    from mocoop.evaluation.given_files import reasons_in_words, told

    if aside:
        print(
            f"left aside: {counted(len(aside), 'file')} ({reasons_in_words(aside)}): "
            f"{told(aside, NAMED)}",
            file=sys.stderr,
        )


def _tell_unreadable(unreadable: Mapping[str, str], told: int) -> int:
    """Prints the new reasons on standard error; returns how many have been printed."""
    for reason in list(unreadable.values())[told:]:
        print(reason, file=sys.stderr)
    return len(unreadable)


def _answers(batch: Batch) -> list[dict[str, Any]]:
    """Returns the answers for a batch, as they are printed or written to JSON."""
    from mocoop.classifiers.answers import answer_of

    return [
        {"image": name} | answer_of(batch.routed, index, batch.notes[index])
        for index, name in enumerate(batch.names)
    ]

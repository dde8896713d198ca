"""The command push: uploads a classifier to the Hugging Face Hub."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mocoop.cli.console import print_json
from mocoop.cli.option_types import RunName
from mocoop.errors import UserError
from mocoop.runs.paths import find_run_or_export

_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class PushCommand:
    """Upload a finished run as a classifier, with a model card, to the Hugging Face Hub.

    What is uploaded is what `mocoop export` writes: text features, router, class names, model
    card. Images and the CLIP's weights stay here. Log in first with: hf auth login

    Examples:
        mocoop push RUN my-name/my-classifier --private
        mocoop push my-classifier my-name/my-classifier
    """

    run: RunName
    """Folder or name of the run, or folder of an exported classifier."""
    repository: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
    """The repository; it is made if it does not exist."""
    private: bool = False
    """Make a new repository private."""
    onnx: bool = True
    """Also upload ONNX files (of a run; an exported folder has what it has)."""
    json: bool = False
    """Print one JSON document."""


def push(command: PushCommand) -> None:
    """Uploads a classifier.

    Raises:
        UserError: if the run cannot be exported, or the hub does not take it.
    """
    if not _NAME.fullmatch(command.repository):
        raise UserError(
            f"{command.repository!r}: expected OWNER/NAME, such as my-name/my-classifier."
        )
    path, is_export = find_run_or_export(command.run)
    from mocoop.classifiers.export import export_run
    from mocoop.classifiers.push import push_classifier
    from mocoop.runs.run import Run

    with tempfile.TemporaryDirectory(prefix="mocoop-push-") as name:
        folder = path
        if not is_export:
            folder = Path(name) / "classifier"
            export_run(Run(path), folder, command.onnx)
        address = push_classifier(folder, command.repository, command.private)
    if command.json:
        print_json({"repository": command.repository, "address": address})
    else:
        print(f"uploaded: {address}")

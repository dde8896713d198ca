"""What the files of a run say: settings, accuracies with intervals, curves, versions."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocoop import __version__
from mocoop.config import TrainConfig
from mocoop.errors import PathError
from mocoop.evaluation.paired import Interval, wilson_interval
from mocoop.methods import METHODS
from mocoop.presets import differences
from mocoop.runs.chosen_on_test import chosen_on_test, in_words
from mocoop.runs.run import Run, RunSetup
from mocoop.shots import shots_value

PARTS = {"all": "all classes", "base": "base half (trained)", "new": "new half (not trained)"}
PAPER = "arXiv 2409.12011"
_GIT_SECONDS = 5


@dataclass(frozen=True)
class Accuracy:
    """A run's accuracy on some classes, beside zero-shot on the same images, in percent."""

    part: str
    """all, base or new."""
    images: int
    value: float
    interval: Interval
    zero_shot: float | None
    """None in results of earlier versions."""
    zero_shot_interval: Interval | None
    calibration_error: float | None
    macro_f1: float | None

    @property
    def gain(self) -> float | None:
        """Accuracy minus that of zero-shot, in points."""
        return None if self.zero_shot is None else self.value - self.zero_shot


@dataclass(frozen=True)
class Facts:
    """A finished run's files, read once."""

    name: str
    setup: RunSetup
    results: Mapping[str, Any]
    records: tuple[Mapping[str, Any], ...]
    accuracies: tuple[Accuracy, ...]
    chosen: str
    """What was chosen on test images, in a sentence; empty if nothing."""

    @property
    def method(self) -> str:
        """The method's name in texts."""
        return METHODS[self.setup.config.method].label

    @property
    def colour(self) -> str:
        """The method's colour in figures."""
        return METHODS[self.setup.config.method].colour

    @property
    def data(self) -> str:
        """The data set's name without its folder."""
        return Path(self.setup.config.data).name

    @property
    def title(self) -> str:
        """Method, data set, shots and seed in one line."""
        config = self.setup.config
        shots = shots_value(config.shots)
        return f"{self.method} on {self.data}, {shots} images per class, seed {config.seed}"


def facts(run: Run, name: str | None = None) -> Facts:
    """Returns what a finished run's files say; its data and its CLIP need not be here.

    Args:
        run: a finished run.
        name: the run's name in documents; by default its folder's name.

    Raises:
        UserError: for a run that is not finished, was deleted, is damaged, or is trained again
            while it is read.
    """
    before = run.status()
    run.require_finished()
    setup, results, records = run.setup(), run.results(), tuple(run.records())
    if run.status() != before:  # the files may be of two trainings
        raise PathError(run.path, " was trained again while it was read. Try again.", "Run")
    try:
        accuracies = tuple(_accuracy(part, results[part]) for part in PARTS if part in results)
    except (KeyError, TypeError, AttributeError) as error:
        raise PathError(
            run.path, f" has results that cannot be read ({error}). Train it again.", "Run"
        ) from error
    chosen = chosen_on_test(setup.config, results)
    return Facts(
        name or run.name,
        setup,
        results,
        records,
        accuracies,
        in_words(chosen) if chosen else "",
    )


def settings(known: Facts) -> list[tuple[str, str]]:
    """Returns a run's settings as rows of name and value, with all that repeats it."""
    setup, config = known.setup, known.setup.config
    classes = (
        f"{setup.trained_classes} trained of {len(setup.class_names)}"
        if config.classes == "base"
        else str(len(setup.class_names))
    )
    rows = [
        ("Run", known.name),
        ("Method", known.method),
        ("Data set", known.data),
        ("Classes", classes),
        ("Training images per class", shots_value(config.shots)),
        ("Seed", str(config.seed)),
        ("Experts", ", ".join(setup.experts)),
        ("Epochs", str(config.epochs)),
        *_values(config),
        ("CLIP", config.backbone),
        ("Fingerprint of the CLIP's weights", setup.backbone_fingerprint),
        ("Trained with", f"mocoop {setup.version or '(unknown version)'}"),
    ]
    if config.style:
        rows.insert(5, ("Style of the training images", config.style))
    changed = differences(config).items()
    rows += [(f"Setting {name} (differs from the preset)", str(value)) for name, value in changed]
    return rows


def _values(config: TrainConfig) -> list[tuple[str, str]]:
    """Returns the values that a training step depends on, of methods that have steps."""
    method = METHODS[config.method]
    if not method.needs_images or not config.epochs:
        return []
    rows = [("Learning rate", f"{config.learning_rate:g}"), ("Batch size", str(config.batch_size))]
    if method.is_mixture:
        rows.append(("Experts per image", str(config.num_chosen)))
        rows.append(("Weight of the gating loss", f"{config.gate_weight:g}"))
    if config.text_weight:
        rows.append(("Weight of the text loss", f"{config.text_weight:g}"))
    return rows


def code_version() -> str:
    """Returns the version of this code, with the commit where it is a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return f"mocoop {__version__}"
    try:
        told = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # git is not installed, say
        return f"mocoop {__version__}"
    return f"mocoop {__version__}, commit {told.stdout.strip()}"


def citations(known: Mapping[str, Facts]) -> list[str]:
    """Returns what to cite for some runs, each paper once: the project's, then the methods'."""
    papers = [METHODS[one.setup.config.method].paper for one in known.values()]
    texts = [f"{paper.title}. arXiv {paper.arxiv}" for paper in papers if paper is not None]
    first = [text for text in texts if PAPER in text]
    own = f"The method MoCoOp: {PAPER}, https://arxiv.org/abs/{PAPER.split()[1]}"
    return list(dict.fromkeys([*(first or [own]), *texts]))


def _accuracy(part: str, found: Mapping[str, Any]) -> Accuracy:
    images, value = int(found["num_images"]), float(found["accuracy"])
    untrained = found.get("zero_shot")
    return Accuracy(
        part,
        images,
        value,
        _interval(value, images),
        None if untrained is None else float(untrained),
        None if untrained is None else _interval(float(untrained), images),
        found.get("calibration_error"),
        found.get("macro_f1"),
    )


def _interval(percent: float, images: int) -> Interval:
    """Returns Wilson's interval of an accuracy that is known in percent."""
    return wilson_interval(round(percent * images / 100), images)

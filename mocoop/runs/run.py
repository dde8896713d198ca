"""The run store: a folder per run, with these files, each written atomically.

config.json           the resolved settings, class names and groups
status.json           format, state, process, progress; `finished` is written last
metrics.jsonl         one record per epoch
weights.safetensors   the learned parameters
features.safetensors  soft features per saved epoch, hard features, prototypes
results.json          accuracies on the test split
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from mocoop.assets import check_if_shipped
from mocoop.config import TrainConfig
from mocoop.errors import PathError, UserError
from mocoop.methods import METHODS
from mocoop.older import check_not_first_demo, same_clip
from mocoop.presets import settings_of_run
from mocoop.runs.expert_steps import ExpertStep
from mocoop.runs.formats import FORMAT
from mocoop.runs.paths import (
    data_in_name,
    default_runs,
    find_run,
    remove_half_files,
    shipped_runs,
    with_name,
)
from mocoop.runs.schema import ConfigFile, RecordLine, ResultsFile
from mocoop.runs.status import (
    FINISHED,
    STATUS_FILE,
    Status,
    does_not_fit,
    read_bytes,
    read_status,
    read_values,
)
from mocoop.shots import shots_name
from mocoop.storage.atomic import read_tensors
from mocoop.storage.formats import check_format
from mocoop.storage.typed_json import convert, decode
from mocoop.templates import Groups, as_groups

if TYPE_CHECKING:
    from torch import Tensor

    from mocoop.runs.features import SavedFeatures


@dataclass(frozen=True)
class RunSetup:
    """The setup of a run, as saved in config.json."""

    config: TrainConfig
    class_names: tuple[str, ...]
    """The names of all classes of the data set, in label order."""
    groups: Groups
    """The groups of templates, one per expert."""
    trained_classes: int
    """The number of trained classes, which are the first ones."""
    logit_scale: float
    backbone_fingerprint: str
    version: str = ""
    """The version of mocoop that trained the run."""
    imported: str = ""
    """Where the prompts are from if another program trained them; empty for runs of our own."""
    white: float | None = None
    """The value that is white in images of more than 8 bits, from the training images; None if
    they have 8 bits, and in runs of older versions."""
    expert_steps: tuple[ExpertStep, ...] = ()
    """How the experts were chosen with `num_experts` auto; empty without it."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Part → key, of the templates and images that the run is made from; empty in runs of older
    versions and of images that a program passed."""

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of the experts, which are the names of their groups."""
        return tuple(self.groups)

    @property
    def knows_trained_only(self) -> bool:
        """Whether the run cannot predict the classes that it was not trained on."""
        known_only = METHODS[self.config.method].trained_classes_only
        return known_only and self.config.classes == "base"

    def has_clip(self, fingerprint: str) -> bool:
        """Returns whether the run was trained with the CLIP of a fingerprint."""
        older = not self.inputs
        return same_clip(self.backbone_fingerprint, fingerprint, older)

    def check_backbone(self, fingerprint: str) -> None:
        """Raises UserError if the run was trained with a CLIP of another fingerprint."""
        if self.has_clip(fingerprint):
            return
        check_not_first_demo(self.backbone_fingerprint, "run")
        raise UserError(
            f"The run was trained with other weights of {self.config.backbone!r} than those "
            "found now. Restore the weights, or train again."
        )


@dataclass(frozen=True)
class Run:
    """A run's folder; its methods read the files when they are called."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return with_name(self.path).name

    @property
    def shipped(self) -> bool:
        """Whether the run ships with the project (such runs must not be deleted)."""
        return self.path.parent == shipped_runs()

    def status(self) -> Status:
        """Returns the run's status; a run whose process has ended early is interrupted.

        Raises:
            UserError: for a folder without a readable status.
        """
        return read_status(self.path)

    def setup(self) -> RunSetup:
        """Returns the run's setup.

        Raises:
            NewerError: for a run that a newer version wrote.
            UserError: for a run with damaged settings.
        """
        values = read_values(self.path, "config.json")
        check_format(values, FORMAT, self.path, "Run", advice="Train it again.")
        try:
            file = convert(values, ConfigFile)
            if file.trained_classes > len(file.class_names):
                raise UserError(
                    f"trained_classes is {file.trained_classes}, but there are only "
                    f"{len(file.class_names)} class names"
                )
            return RunSetup(
                settings_of_run(file.config, file.format),
                file.class_names,
                as_groups(file.groups),
                file.trained_classes,
                file.logit_scale,
                file.backbone_fingerprint,
                file.version,
                file.imported,
                white_setting(file.white),
                file.expert_steps,
                file.inputs,
            )
        except UserError as error:
            raise does_not_fit(self.path / "config.json", error) from error

    def records(self) -> list[dict[str, Any]]:
        """Returns the records so far, one per epoch; a half-written last line is left out.

        Raises:
            UserError: if the file is damaged.
        """
        path = self.path / "metrics.jsonl"
        try:
            lines = read_bytes(path).split(b"\n")
            return [_record(line) for line in lines[:-1]]
        except FileNotFoundError:
            return []
        except (OSError, UserError) as error:
            raise PathError(path, f" is damaged ({error}). Train the run again.") from error

    def results(self) -> dict[str, Any]:
        """Returns the results on the test split; empty if the run has not finished.

        Raises:
            UserError: if the file is damaged.
        """
        exists = (self.path / "results.json").exists()
        return read_checked(self.path, "results.json", ResultsFile) if exists else {}

    def features(self) -> SavedFeatures:
        """Returns the run's text features, checked against its settings.

        Raises:
            UserError: for an incomplete run, or features that do not fit.
        """
        from mocoop.runs.features import features_in
        from mocoop.runs.weights import check_features

        features = features_in(self._tensors("features.safetensors"), self.path)
        try:
            check_features(self.setup(), features)
        except PathError:
            raise
        except UserError as error:
            raise _tensors_do_not_fit(self.path / "features.safetensors", error) from error
        return features

    def weights(self) -> dict[str, Tensor]:
        """Returns the learned parameters by name, checked against the run's settings.

        Raises:
            UserError: for an incomplete run, or weights that do not fit.
        """
        from mocoop.runs.weights import check_weights

        weights, setup = self._tensors("weights.safetensors"), self.setup()
        try:
            check_weights(setup, weights)
        except UserError as error:
            raise _tensors_do_not_fit(self.path / "weights.safetensors", error) from error
        return weights

    def require_finished(self) -> None:
        """Raises UserError unless the run finished."""
        status = self.status()
        if status.state != FINISHED:
            raise PathError(
                self.path,
                f" is {status.state}, not finished"
                + (f" ({status.message})" if status.message else "")
                + ". Wait for it, resume it (`mocoop resume`), or train it again.",
                "Run",
            )

    def _tensors(self, name: str) -> dict[str, Tensor]:
        check_if_shipped(self.path / name)
        try:
            return read_tensors(self.path / name)
        except FileNotFoundError as error:
            raise PathError(
                self.path, f" has no {name}: it did not finish. Train it again.", "Run"
            ) from error
        except (SafetensorError, OSError) as error:
            raise PathError(
                self.path / name, f" is damaged ({error}). Train the run again."
            ) from error


def list_runs(roots: Iterable[Path] | None = None) -> list[Run]:
    """Returns the runs in folders of runs, newest first; those of one moment by name.

    Args:
        roots: folders of runs; the default folder and the shipped runs if None.
    """
    runs: list[tuple[float, Run]] = []
    for root in roots if roots is not None else (default_runs(), shipped_runs()):
        for path in _status_files(root):
            try:
                runs.append((Run(path.parent).status().started, Run(path.parent)))
            except UserError:
                continue  # `damaged_runs` lists it
    return [run for _, run in sorted(runs, key=lambda pair: (-pair[0], pair[1].name))]


def damaged_runs(roots: Iterable[Path] | None = None) -> dict[Run, UserError]:
    """Returns the runs whose status cannot be read, by name, each with what is wrong.

    Runs of a newer version are among them; `state_without_status` tells them apart.

    Args:
        roots: folders of runs; the default folder and the shipped runs if None.
    """
    damaged = {}
    for root in roots if roots is not None else (default_runs(), shipped_runs()):
        for path in sorted(_status_files(root)):
            try:
                Run(path.parent).status()
            except UserError as error:
                if path.exists():  # it was not deleted in the meantime
                    damaged[Run(path.parent)] = error
    return damaged


def _status_files(root: Path) -> list[Path]:
    """Returns the status files of the runs in a folder; empty if the folder cannot be read."""
    return list(root.glob(f"*/{STATUS_FILE}"))


def read_checked(run: Path, name: str, kind: type[Any]) -> dict[str, Any]:
    """Returns the JSON object in a file of a run's folder, if it fits a type of `schema`.

    Raises:
        UserError: if the file is missing, damaged, or does not fit.
    """
    values = read_values(run, name)
    try:
        convert(values, kind)
    except UserError as error:
        raise does_not_fit(run / name, error) from error
    return values


def _tensors_do_not_fit(path: Path, error: UserError) -> PathError:
    return PathError(path, f" does not fit the settings: {error}. Train the run again.")


def _record(line: bytes) -> dict[str, Any]:
    """Returns the record in a line of metrics.jsonl, checked."""
    values = decode(line, dict[str, Any])
    convert(values, RecordLine)
    return values


def open_run(name: str | Path) -> Run:
    """Returns a run by its path, or by its name in the default or shipped runs.

    Raises:
        UserError: if there is none.
    """
    return Run(find_run(name))


def white_setting(value: object) -> float | None:
    """Returns the value that is white, as a run or an exported classifier stores it.

    Raises:
        UserError: if it is no number above 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UserError(f"Expected white to be a number above 0, such as 4095; got {value!r}.")
    return float(value)


def new_run_path(config: TrainConfig, root: Path | None = None) -> Path:
    """Returns an unused path for a new run, named after data, method, shots and seed.

    Temporary files that killed processes left in the earlier runs of this name are removed: not
    every one of these runs is continued.
    """
    root = root or default_runs()
    stem = (
        f"{data_in_name(config.data)}-{config.method}-{shots_name(config.shots)}-seed{config.seed}"
    )
    if config.classes == "base":
        stem += "-base"
    number = 1
    while (earlier := root / f"{stem}-{number:03d}").exists():
        remove_half_files(earlier)
        number += 1
    return root / f"{stem}-{number:03d}"

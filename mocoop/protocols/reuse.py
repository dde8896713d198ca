"""Which finished runs a protocol may use again: those that would be trained just so today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mocoop.clip.backbone import load_backbone
from mocoop.clip.names import absolute_name
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset, absolute_source, load_dataset
from mocoop.datasets.splits import class_range
from mocoop.errors import UserError
from mocoop.features.image_keys import ImageKeys, digest
from mocoop.model.hard_prompts import expert_groups
from mocoop.presets import identity
from mocoop.runs.run import FINISHED, Run, RunSetup
from mocoop.shots import shots_name
from mocoop.training.inputs import input_keys


@dataclass(frozen=True)
class Expected:
    """What a run with some settings would be made from now."""

    config: TrainConfig
    """Its settings, as the run would save them, but for a precision chosen for the device."""
    backbone_fingerprint: str
    class_names: tuple[str, ...]
    inputs: Mapping[str, str]
    """Part → key (`input_keys`)."""
    tested: Mapping[str, int]
    """Choice of classes → number of test images."""

    @property
    def key(self) -> str:
        """Changes whenever the CLIP, the classes, the templates or the images change."""
        return digest([self.backbone_fingerprint, self.class_names, dict(self.inputs)])

    def difference(self, run: Run) -> str:
        """Returns, in words, what a run was made from that is different now; "" if nothing is.

        Runs of earlier versions have no keys of their images: what they have is compared.

        Raises:
            UserError: for a run with damaged settings.
        """
        setup = run.setup()
        if not setup.has_clip(self.backbone_fingerprint):
            return "the weights of the CLIP"
        if setup.class_names != self.class_names:
            return "the class names"
        if self.config.num_experts != "auto" and setup.groups != self.config.groups:
            return "the templates"
        for part, key in self.inputs.items():
            if setup.inputs.get(part, key) != key:
                return f"the {part}"
        return "" if setup.inputs or self._as_many(run.results()) else "the test images"

    def same_settings(self, setup: RunSetup) -> bool:
        """Returns whether a run has these settings, however its data were named."""
        wanted, saved = identity(self.config), identity(setup.config)
        if self.config.precision == "auto":
            wanted["precision"] = saved["precision"]
        if self.config.num_experts == "auto":
            wanted["groups"] = saved["groups"]
        return wanted == saved

    def _as_many(self, results: Mapping[str, Mapping[str, int]]) -> bool:
        """Returns whether a run was tested on as many images as there are now."""
        return all(
            results[choice]["num_images"] == number
            for choice, number in self.tested.items()
            if choice in results
        )


class Expectations:
    """Looks up what runs would be made from; every data set and CLIP is opened once."""

    def __init__(self) -> None:
        self._images = ImageKeys()
        self._datasets: dict[str, Dataset] = {}
        self._fingerprints: dict[str, str] = {}

    def of(self, config: TrainConfig) -> Expected:
        """Returns what a run with these settings would be made from.

        Raises:
            UserError: for a CLIP or data that cannot be opened, or settings that do not fit them.
        """
        dataset, name = self._dataset(config.data), absolute_name(config.backbone)
        if name not in self._fingerprints:
            self._fingerprints[name] = load_backbone(name).fingerprint
        groups = expert_groups(config, dataset.templates)
        number = len(dataset.class_names)
        return Expected(
            replace(config, data=absolute_source(config.data), backbone=name, groups=groups),
            self._fingerprints[name],
            dataset.class_names,
            input_keys(config, dataset, self._images),
            {
                choice: len(dataset.items("test", class_range(choice, number)))
                for choice in ("all", "base", "new")
            },
        )

    def tested_on(self, target: str) -> str:
        """Returns the key of the test images of a data set."""
        return self._images.of_test(self._dataset(target))

    def _dataset(self, name: str) -> Dataset:
        if name not in self._datasets:
            self._datasets[name] = load_dataset(name)
        return self._datasets[name]


def finished_runs(paths: Iterator[Path]) -> Iterator[Run]:
    """Yields the finished runs among the folders that a run can have, up to an unused one."""
    for path in paths:
        if not path.exists():
            return
        if _is_finished(path):
            yield Run(path)


def runs_of_older_names(root: Path, config: TrainConfig) -> Iterator[Run]:
    """Yields finished runs that may have these settings, under other names.

    Earlier versions named a run by the path of its data as it was given, such as `pets/`.
    """
    if Path(config.data).is_absolute():
        pattern = f"*-{config.method}-{shots_name(config.shots)}-seed{config.seed}-*"
        for path in sorted(root.glob(pattern)):
            if _is_finished(path):
                yield Run(path)


def _is_finished(path: Path) -> bool:
    with suppress(UserError):  # a process was killed before it wrote a status, say
        return Run(path).status().state == FINISHED
    return False

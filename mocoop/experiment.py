"""A run from settings to results: the one place where data, model and run store meet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from mocoop import __version__
from mocoop.backbone import DEMO, Backbone, choose_device, load_backbone
from mocoop.config import TrainConfig
from mocoop.datasets import BUILTIN, Dataset, load_dataset
from mocoop.datasets.base import Item
from mocoop.errors import UserError
from mocoop.evaluate import class_range, evaluate, harmonic_mean, route_items
from mocoop.features import FeatureCache
from mocoop.model import PromptMixture, build_model, expert_groups, group_prototypes, hard_features
from mocoop.packing import ClassTokens
from mocoop.predict import Classifier
from mocoop.runs import Run, RunSetup, RunWriter, SavedFeatures
from mocoop.splits import few_shot
from mocoop.status import CANCELLED, FAILED, QUEUED, RUNNING
from mocoop.templates import Groups
from mocoop.trainer import EpochRecord, TrainingData, fit


class Cancelled(BaseException):
    """Raised into a training that someone stops; no error of anybody's."""


@dataclass(frozen=True)
class Prepared:
    """A run's checked ingredients, before anything is written."""

    config: TrainConfig
    dataset: Dataset
    backbone: Backbone
    groups: Groups
    trained: range  # labels that have images in training
    train_items: tuple[Item, ...]
    val_items: tuple[Item, ...]


def prepare(config: TrainConfig) -> Prepared:
    """Returns a run's ingredients, checked together.

    Raises:
        UserError: for data, backbone or settings that do not fit.
    """
    dataset = load_dataset(config.data)
    groups = expert_groups(config, dataset.templates)
    config = replace(
        config, data=_anywhere(config.data), backbone=_anywhere(config.backbone), groups=groups
    )
    trained = class_range(config.classes, len(dataset.class_names))
    if len(trained) < 2:
        raise UserError(
            f"{dataset.name} has {len(dataset.class_names)} classes: its base half has too few to "
            "train on. Use all classes."
        )
    backbone = load_backbone(config.backbone, choose_device(config.device))
    train, val = dataset.items("train"), dataset.items("val")
    chosen, chosen_val = few_shot(
        [item.label for item in train],
        [item.label for item in val],
        config.shots,
        config.seed,
    )
    # The halves are cut after sampling, as CoOp does, so that base images do not depend on it.
    train_items = tuple(train[i] for i in chosen if train[i].label in trained)
    val_items = tuple(val[i] for i in chosen_val if val[i].label in trained)
    return Prepared(config, dataset, backbone, groups, trained, train_items, val_items)


def run_experiment(
    config: TrainConfig, path: Path, cache_folder: Path | None = None
) -> Iterator[EpochRecord]:
    """Trains and evaluates a run in a folder, yielding a record per epoch.

    The folder's status follows: running, then finished, cancelled or failed; a process that
    is killed leaves a run that reads as interrupted.

    Raises:
        UserError: for settings, data or weights that do not fit; nothing is written then,
            but a queued run is marked failed.
    """
    try:
        prepared = prepare(config)
        writer = RunWriter(path)
    except UserError as error:
        _fail_queued(path, error)
        raise
    try:
        yield from _run(prepared, writer, cache_folder)
    except (Cancelled, KeyboardInterrupt, GeneratorExit):
        writer.update(state=CANCELLED, message="stopped on request")
        raise
    except BaseException as error:
        writer.update(state=FAILED, message=str(error) or type(error).__name__)
        raise


def _run(
    prepared: Prepared, writer: RunWriter, cache_folder: Path | None
) -> Iterator[EpochRecord]:
    config, dataset, backbone = prepared.config, prepared.dataset, prepared.backbone
    writer.update(state=RUNNING, message="encoding the hard prompts", epochs=config.epochs)
    names, tower = dataset.class_names, backbone.text
    writer.save_setup(
        RunSetup(
            config,
            names,
            prepared.groups,
            len(prepared.trained),
            backbone.logit_scale,
            backbone.fingerprint,
            __version__,
        )
    )
    hard = hard_features(tower, prepared.groups, names)
    prototypes = group_prototypes(hard)  # (experts, classes, dim)
    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config, backbone, prepared.groups, generator)
    cache = FeatureCache(backbone, cache_folder)
    data = _training_data(prepared, prototypes, cache, writer).to(backbone.device)
    all_classes = ClassTokens.of(tower, names)

    soft: dict[int, torch.Tensor] = {}
    started = time.perf_counter()
    for record in fit(model, tower, data, config, generator):
        last = record.epoch == config.epochs
        if last or record.epoch % config.save_every == 0:
            with torch.no_grad():
                soft[record.epoch] = model.text_features(tower, all_classes).cpu()
        writer.add_record(asdict(record))
        writer.update(epoch=record.epoch, message="training")
        yield record
    training_seconds = time.perf_counter() - started

    saved = SavedFeatures(soft, tuple(part.cpu() for part in hard), prototypes.cpu())
    writer.save_features(saved)
    writer.save_weights(_learnt(model))
    writer.update(message="evaluating on the test images")
    gate = model.gate.cpu() if model.gate is not None else None
    classifier = Classifier(
        names,
        tuple(prepared.groups),
        saved.last,
        gate,
        backbone.logit_scale,
        config.num_chosen,
    )
    results = results_on_test(classifier, dataset, cache, config.classes)
    writer.finish(results | {"training_seconds": training_seconds})


def results_on_test(
    classifier: Classifier, dataset: Dataset, cache: FeatureCache, trained: str
) -> dict:
    """Returns the results of a run on the test split: all classes, or base, new and their HM."""
    choices = ("all",) if trained == "all" else ("base", "new")
    results: dict = {}
    for choice in choices:
        found = route_items(classifier, dataset, cache, choice)
        results[choice] = asdict(evaluate(found, choice))
    if trained == "base":
        results["harmonic_mean"] = harmonic_mean(
            results["base"]["accuracy"], results["new"]["accuracy"]
        )
    return results


def _training_data(
    prepared: Prepared, prototypes: torch.Tensor, cache: FeatureCache, writer: RunWriter
) -> TrainingData:
    config, dataset = prepared.config, prepared.dataset
    writer.update(message="encoding the training images")
    train = cache.features(dataset, prepared.train_items, config.views, config.seed)
    if prepared.val_items:
        val = cache.features(dataset, prepared.val_items)[:, 0]
    else:
        val = train.new_zeros(0, train.shape[-1])
    count = len(prepared.trained)
    in_text_loss = len(dataset.class_names) if config.text_classes == "all" else count
    return TrainingData(
        train,
        torch.tensor([item.label for item in prepared.train_items]),
        val,
        torch.tensor([item.label for item in prepared.val_items], dtype=torch.long),
        dataset.class_names[:in_text_loss],
        count,
        prototypes[:, :in_text_loss],
    )


def _anywhere(name: str) -> str:
    """Returns a path made absolute, so that a run can be used from any folder; names stay."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() and name not in (*BUILTIN, DEMO) else name


def _learnt(model: PromptMixture) -> dict[str, torch.Tensor]:
    """Returns all parameters of the model, the frozen after-blocks included."""
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}


def _fail_queued(path: Path, error: UserError) -> None:
    """Marks a queued run as failed with the reason; touches nothing else."""
    if (path / "status.json").exists() and Run(path).status().state == QUEUED:
        RunWriter(path).update(state=FAILED, message=str(error))

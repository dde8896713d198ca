"""A run's ingredients: data, backbone, groups and few-shot images, checked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mocoop.backbone import DEMO, Backbone, choose_device, load_backbone
from mocoop.config import TrainConfig
from mocoop.datasets import BENCHMARKS, BUILTIN, Dataset, load_dataset
from mocoop.datasets.base import Item, check_training
from mocoop.errors import UserError, choose_from
from mocoop.evaluate import class_range
from mocoop.features import FeatureCache
from mocoop.image_side import CachedImages, ImageSide, LiveImages
from mocoop.model import expert_groups
from mocoop.precision import choose_precision
from mocoop.splits import few_shot
from mocoop.templates import Groups
from mocoop.trainer import HardText, TrainingData


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


def prepare(
    config: TrainConfig, dataset: Dataset | None = None, backbone: Backbone | None = None
) -> Prepared:
    """Returns a run's ingredients, checked together.

    Args:
        config: the settings.
        dataset: the data, where they are in memory; loaded by the name in the settings if None.
        backbone: the settings' CLIP on their device, where it is loaded already.

    Raises:
        UserError: for data, backbone or settings that do not fit.
    """
    data = config.data if dataset is not None else _anywhere(config.data)
    dataset = dataset or load_dataset(config.data)
    groups = expert_groups(config, dataset.templates)
    config = replace(config, data=data, backbone=_anywhere(config.backbone), groups=groups)
    trained = class_range(config.classes, len(dataset.class_names))
    if len(trained) < 2:
        raise UserError(
            f"{dataset.name} has {len(dataset.class_names)} classes: its base half has too few to "
            "train on. Use all classes."
        )
    device = choose_device(config.device) if backbone is None else backbone.device
    config = replace(config, precision=choose_precision(config.precision, device))
    backbone = backbone or load_backbone(config.backbone, device)
    train_items, val_items = few_shot_items(config, dataset)
    return Prepared(config, dataset, backbone, groups, trained, train_items, val_items)


def few_shot_items(
    config: TrainConfig, dataset: Dataset
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Returns the few-shot training and validation images of a run, by CoOp's rule.

    With a style, only images of that true style are there to be drawn.

    Raises:
        UserError: for a style that the data do not have, or without any training image.
    """
    check_training(dataset)
    if config.style and config.style not in dataset.styles:
        if not dataset.styles:
            raise UserError(
                f"{dataset.name} does not know the style of its images: leave style empty."
            )
        raise choose_from("style", config.style, dataset.styles)
    train, val = (
        [item for item in dataset.items(split) if config.style in ("", item.style)]
        for split in ("train", "val")
    )
    chosen, chosen_val = few_shot(
        [item.label for item in train],
        [item.label for item in val],
        config.shots,
        config.seed,
    )
    # The halves are cut after sampling, as CoOp does, so that base images do not depend on it.
    trained = class_range(config.classes, len(dataset.class_names))
    return (
        tuple(train[i] for i in chosen if train[i].label in trained),
        tuple(val[i] for i in chosen_val if val[i].label in trained),
    )


def shots_missing(config: TrainConfig, classes: int, images: int) -> str | None:
    """Returns a sentence if there are fewer training images than a run asks for, else None.

    Args:
        config: the run's settings.
        classes: that have training images.
        images: that were drawn.
    """
    asked = config.shots * classes
    if images >= asked:
        return None
    return (
        f"{images:,} training images instead of {asked:,}: some classes have fewer than "
        f"{config.shots}."
    )


def training_data(
    prepared: Prepared,
    hard: Sequence[Tensor],
    prototypes: Tensor,
    cache: FeatureCache,
) -> TrainingData:
    """Returns what the trainer learns from, on the backbone's device.

    Args:
        prepared: the run's ingredients.
        hard: hard features of all groups, each (templates, classes, dim).
        prototypes: (experts, classes, dim).
        cache: image features of the frozen tower; not asked where it is trained.
    """
    config, dataset = prepared.config, prepared.dataset
    count = len(prepared.trained)
    in_text_loss = len(dataset.class_names) if config.text_classes == "all" else count
    train: ImageSide
    val: ImageSide
    if config.image_cache:
        train = CachedImages(
            cache.features(dataset, prepared.train_items, config.views, config.seed)
        )
        val = CachedImages(cache.features(dataset, prepared.val_items))
    else:
        train = _live(prepared, prepared.train_items, config.augment == "crops")
        val = _live(prepared, prepared.val_items, crops=False)
    text = HardText.of(
        tuple(part[:, :in_text_loss].cpu() for part in hard),
        prototypes[:, :in_text_loss].cpu(),
        config.text_target == "templates",
    )
    return TrainingData(
        train,
        torch.tensor([item.label for item in prepared.train_items]),
        val,
        torch.tensor([item.label for item in prepared.val_items], dtype=torch.long),
        dataset.class_names[:in_text_loss],
        count,
        text,
    ).to(prepared.backbone.device)


def _live(prepared: Prepared, items: Sequence[Item], crops: bool) -> LiveImages:
    """Returns images that go through the tower in every step."""
    dataset, backbone = prepared.dataset, prepared.backbone
    return LiveImages(
        backbone.model.visual,
        lambda place: dataset.image(items[place]),
        len(items),
        backbone.transform,
        backbone.device,
        crops,
        prepared.config.seed,
    )


def _anywhere(name: str) -> str:
    """Returns a path made absolute, so that a run can be used from any folder; names stay."""
    path = Path(name).expanduser()
    is_name = name in (*BUILTIN, *BENCHMARKS, DEMO)
    return str(path.resolve()) if path.is_dir() and not is_name else name

"""The inputs of a run: data, backbone, groups and few-shot images, checked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mocoop import __version__
from mocoop.clip.backbone import Backbone, choose_device, load_backbone
from mocoop.clip.device import choose_precision
from mocoop.clip.names import absolute_name
from mocoop.clip.random_crop import RandomCrop
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset, absolute_source, load_dataset
from mocoop.datasets.base import Item
from mocoop.datasets.splits import check_every_class, class_range, few_shot_items
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.methods import METHODS
from mocoop.model.hard_prompts import HardText, expert_groups, frozen_text
from mocoop.model.step_cost import check_step_cost
from mocoop.runs.expert_steps import ExpertStep
from mocoop.runs.run import RunSetup
from mocoop.templates import Groups
from mocoop.training.batches import step_counts
from mocoop.training.data import TrainingData
from mocoop.training.image_sources import CROP_SCALE, CachedImages, ImageSource, LiveImages
from mocoop.training.length_search import check_held_out
from mocoop.training.model_checks import check_model


@dataclass(frozen=True)
class Prepared:
    """The checked inputs of a run, before anything is written."""

    config: TrainConfig
    dataset: Dataset
    backbone: Backbone
    groups: Groups
    trained: range  # labels of the classes that are trained
    train_items: tuple[Item, ...]
    val_items: tuple[Item, ...]

    expert_steps: tuple[ExpertStep, ...] = ()
    """How the groups were chosen, with `num_experts` auto."""

    def setup(self) -> RunSetup:
        """Returns the run's setup, which is saved with it."""
        return RunSetup(
            self.config,
            self.dataset.class_names,
            self.groups,
            len(self.trained),
            self.backbone.logit_scale,
            self.backbone.fingerprint,
            __version__,
            white=self.dataset.white_value,
            expert_steps=self.expert_steps,
        )


def prepare(
    config: TrainConfig, dataset: Dataset | None = None, backbone: Backbone | None = None
) -> Prepared:
    """Returns the inputs of a run, checked together.

    Args:
        config: the settings.
        dataset: the data; if None they are loaded by the name in the settings.
        backbone: the CLIP named in the settings; if None it is loaded onto their device.

    Raises:
        UserError: for data, backbone or settings that do not fit together.
    """
    data = config.data if dataset is not None else absolute_source(config.data)
    dataset = dataset or load_dataset(config.data)
    groups = expert_groups(config, dataset.templates)
    config = replace(config, data=data, backbone=absolute_name(config.backbone), groups=groups)
    trained = class_range(config.classes, len(dataset.class_names))
    if len(trained) < 2:
        raise UserError(
            f"{dataset.name} has {len(dataset.class_names)} classes: its base half has too few to "
            "train on. Train on all classes."
        )
    device = choose_device(config.device) if backbone is None else backbone.device
    config = replace(config, precision=choose_precision(config.precision, device))
    backbone = backbone or load_backbone(config.backbone, device)
    check_model(config, backbone, groups, dataset.class_names)
    train_items, val_items = few_shot_items(config, dataset)
    record = METHODS[config.method]
    if record.needs_images and (record.fits_image_features or config.epochs):
        check_every_class(dataset, trained, train_items, config.style)
    labels = [item.label for item in train_items]
    check_held_out(config, labels, len(val_items), config.searches_lengths and dataset.val_is_test)
    names = [dataset.class_names[label] for label in trained]
    if config.num_experts == "auto" and config.epochs:
        _check_choice(config, groups, len(val_items), dataset.val_is_test)
    if config.epochs:
        images = min(config.batch_size, len(train_items))
        steps = sum(step_counts(len(train_items), len(trained), config))
        check_step_cost(config, backbone.text, groups, names, images, steps)
    return Prepared(config, dataset, backbone, groups, trained, train_items, val_items)


def _check_choice(
    config: TrainConfig, groups: Groups, validation_images: int, val_is_test: bool
) -> None:
    """Raises UserError if there are no experts, or no validation images, to choose with.

    Args:
        config: the run's settings.
        groups: the groups to start from.
        validation_images: their number.
        val_is_test: whether validation images of the data set are test images too.
    """
    if not METHODS[config.method].is_mixture or len(groups) < 2:
        raise UserError(
            "num_experts is auto, but there is only one expert. Use a mixture such as mocoop and "
            "two or more groups of templates, or leave num_experts out."
        )
    if config.searches_lengths:
        raise UserError(
            "num_experts auto and a search for the numbers of learned keys exclude each other. "
            "Search with the groups as they are, or give the numbers."
        )
    if not validation_images:
        raise UserError(
            "num_experts auto chooses experts on validation images, and there are none. Add a "
            "folder val/, or leave num_experts out."
        )
    if val_is_test:
        raise UserError(
            "num_experts auto chooses experts on validation images, but those of this data set "
            "are its test images. Leave num_experts out."
        )


def training_data(
    prepared: Prepared,
    hard: Sequence[Tensor],
    prototypes: Tensor,
    cache: FeatureCache,
) -> TrainingData:
    """Returns the images, labels and hard prompts of a training, on the backbone's device.

    Args:
        prepared: the inputs of the run.
        hard: hard prompt features of each group, (templates, classes, dim).
        prototypes: (experts, classes, dim).
        cache: image features of the frozen image tower; not used without `image_cache`.
    """
    config, dataset = prepared.config, prepared.dataset
    num_trained = len(prepared.trained)
    in_text_loss = len(dataset.class_names) if config.text_classes == "all" else num_trained
    train: ImageSource
    val: ImageSource
    if config.image_cache:
        train = CachedImages(
            cache.features(dataset, prepared.train_items, config.views, config.seed)
        )
        val = CachedImages(cache.features(dataset, prepared.val_items))
    else:
        train = _live(prepared, prepared.train_items, config.augment == "crops")
        val = _live(prepared, prepared.val_items, crops=False)
    text = HardText.from_features(
        tuple(part[:, :in_text_loss].cpu() for part in hard),
        prototypes[:, :in_text_loss].cpu(),
        config.text_target == "templates",
    )
    if config.compares_texts:
        names, tower = dataset.class_names[:in_text_loss], prepared.backbone.text
        text = replace(text, frozen=frozen_text(config, tower, dataset.templates, names).cpu())
    return TrainingData(
        train,
        torch.tensor([item.label for item in prepared.train_items]),
        val,
        torch.tensor([item.label for item in prepared.val_items], dtype=torch.long),
        dataset.class_names[:in_text_loss],
        num_trained,
        text,
    ).to(prepared.backbone.device)


def _live(prepared: Prepared, items: Sequence[Item], crops: bool) -> LiveImages:
    """Returns images that go through the image tower in every step."""
    dataset, backbone = prepared.dataset, prepared.backbone
    crop = RandomCrop.from_settings(backbone.preprocess, CROP_SCALE) if crops else None
    return LiveImages(
        backbone.model.visual,
        lambda index: dataset.image(items[index]),
        len(items),
        backbone.transform,
        backbone.device,
        crop,
        prepared.config.seed,
    )

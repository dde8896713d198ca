"""Fits the methods without prompt learning on cached image features."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.base import require_two_classes
from mocoop.classifiers.blended_probe import OWN_FACTORS, PUBLISHED_FACTORS, fit_blended_probe
from mocoop.classifiers.c_search import own_c, published_c
from mocoop.classifiers.feature_adapter import FeatureAdapter
from mocoop.classifiers.linear_probe import fit_linear_probe
from mocoop.classifiers.task_residual import TaskResidual
from mocoop.classifiers.tip_adapter import fit_tip_adapter
from mocoop.classifiers.tip_search import OWN_SEARCH, published_search
from mocoop.datasets.in_memory import GivenFeatures
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.method_record import (
    BLENDED_PROBE,
    FEATURE_ADAPTER,
    IMAGE_CACHE,
    LINEAR_PROBE,
    TASK_RESIDUAL,
)
from mocoop.methods import METHODS
from mocoop.training.feature_training import (
    FeatureData,
    adapter_learner,
    residual_learner,
    train_on_features,
)
from mocoop.training.loop import EpochRecord
from mocoop.training.prepare import Prepared

Weights = dict[str, Tensor]
Fit = Generator[EpochRecord, None, Weights]
"""Yields a record per epoch, or one; returns the fitted weights by name, on the CPU."""


def fit_baseline(prepared: Prepared, text: Tensor, cache: FeatureCache) -> Fit:
    """Yields records of the fit of a method on image features, and returns its weights.

    Args:
        prepared: the inputs of a run whose method is fitted on image features.
        text: text features of all classes with the untrained prompt, (classes, dim), on the CPU.
        cache: image features of the run's backbone.

    Raises:
        UserError: for images or settings that the method cannot use, or a loss that diverges.
    """
    fitter = _FITTERS[METHODS[prepared.config.method].classifier]
    return (yield from fitter(prepared, text, cache))


def fitted(fit: Fit) -> tuple[Weights, EpochRecord]:
    """Runs a fit to its end and returns the weights and the last record."""
    record: EpochRecord | None = None
    while True:
        try:
            record = next(fit)
        except StopIteration as end:
            assert record is not None, "every fit has a record"
            return end.value, record


def _linear_probe(prepared: Prepared, text: Tensor, cache: FeatureCache) -> Fit:
    data = _centre_crops(prepared, cache)
    search = published_c if prepared.config.search == "published" else own_c
    count = len(prepared.trained)
    train = data.train[:, 0]
    probe = fit_linear_probe(train, data.train_labels, data.val, data.val_labels, count, search)
    yield EpochRecord(0, {}, None, probe.val_accuracy)
    return probe.to_tensors()


def _tip_adapter(prepared: Prepared, text: Tensor, cache: FeatureCache) -> Fit:
    config, device = prepared.config, prepared.backbone.device
    data = _centre_crops(prepared, cache)
    count = len(prepared.trained)
    keys, crops = _keys(prepared, cache)
    published = config.search == "published"
    adapter = fit_tip_adapter(
        keys.to(device),
        data.train_labels.to(device),
        data.val.to(device),
        data.val_labels.to(device),
        text[:count].to(device),
        prepared.backbone.logit_scale,
        fine_tune=METHODS[config.method].learns_in_epochs,
        generator=torch.Generator().manual_seed(config.seed),
        search=published_search(config.data) if published else OWN_SEARCH,
        crops=None if crops is None else crops.to(device),
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
    )
    # New classes have no images in the cache: only their text features score them.
    values = F.pad(adapter.values.cpu(), (0, len(text) - count))
    adapter = replace(adapter, keys=adapter.keys.cpu(), values=values)
    yield EpochRecord(config.epochs, {}, None, adapter.val_accuracy)
    return adapter.to_tensors() | {"text": text}


def _blended_probe(prepared: Prepared, text: Tensor, cache: FeatureCache) -> Fit:
    data = _centre_crops(prepared, cache)
    published = prepared.config.search == "published"
    keys, _ = _keys(prepared, cache)
    probe = fit_blended_probe(
        keys,
        data.train_labels,
        data.val,
        data.val_labels,
        text[: len(prepared.trained)],
        PUBLISHED_FACTORS if published else OWN_FACTORS,
    )
    yield EpochRecord(0, {}, None, probe.val_accuracy)
    return probe.to_tensors()


def _task_residual(prepared: Prepared, text: Tensor, cache: FeatureCache) -> Fit:
    config, device = prepared.config, prepared.backbone.device
    data, base = _views(prepared, cache), _raw_text(prepared)
    learner = residual_learner(base.to(device), prepared.backbone.logit_scale, config)
    generator = torch.Generator().manual_seed(config.seed)
    yield from train_on_features(learner, data, config, generator)
    (residual,) = learner.learned
    return TaskResidual(base, residual.detach().cpu(), config.residual_ratio).to_tensors()


def _feature_adapter(prepared: Prepared, text: Tensor, cache: FeatureCache) -> Fit:
    config, device = prepared.config, prepared.backbone.device
    generator = torch.Generator().manual_seed(config.seed)
    known = text[: len(prepared.trained)].to(device)
    learner = adapter_learner(known, prepared.backbone.logit_scale, config, generator)
    yield from train_on_features(learner, _views(prepared, cache), config, generator)
    down, up = (part.detach().cpu() for part in learner.learned)
    return FeatureAdapter(down, up, config.residual_ratio).to_tensors() | {"text": text}


_FITTERS: dict[str, Callable[[Prepared, Tensor, FeatureCache], Fit]] = {
    LINEAR_PROBE: _linear_probe,
    IMAGE_CACHE: _tip_adapter,
    BLENDED_PROBE: _blended_probe,
    TASK_RESIDUAL: _task_residual,
    FEATURE_ADAPTER: _feature_adapter,
}
"""Kind of classifier that is fitted on image features → how it is fitted."""


def _centre_crops(prepared: Prepared, cache: FeatureCache, views: int = 1) -> FeatureData:
    """Returns features and labels on the CPU; of the training images, as many views as given."""
    dataset, train, val = prepared.dataset, prepared.train_items, prepared.val_items
    return FeatureData(
        cache.features(dataset, train, views, prepared.config.seed),
        torch.tensor([item.label for item in train]),
        cache.features(dataset, val)[:, 0],
        torch.tensor([item.label for item in val], dtype=torch.long),
    )


def _views(prepared: Prepared, cache: FeatureCache) -> FeatureData:
    """Returns features and labels of a training in epochs, on the backbone's device.

    Raises:
        UserError: if there is only one class.
    """
    config, device = prepared.config, prepared.backbone.device
    label = METHODS[config.method].label
    data = _centre_crops(prepared, cache, config.views)
    require_two_classes(label, data.train_labels)
    parts = (data.train, data.train_labels, data.val, data.val_labels)
    return FeatureData(*(part.to(device) for part in parts))


def _raw_text(prepared: Prepared) -> Tensor:
    """Returns the mean over templates of raw text features, (trained classes, dim)."""
    names = [prepared.dataset.class_names[label] for label in prepared.trained]
    tower = prepared.backbone.text
    templates = [template for group in prepared.groups.values() for template in group]
    found = [tower.encode_template_raw(template, names) for template in templates]
    return torch.stack(found).mean(dim=0).cpu()


def _keys(prepared: Prepared, cache: FeatureCache) -> tuple[Tensor, Tensor | None]:
    """Returns one feature per image (images, dim), and crops (epochs, images, dim) or None.

    As in Tip-Adapter's code, a feature is the mean over random crops, and fine-tuning sees
    another crop of an image in every epoch; each of them is drawn once and cached. Without crops
    it is the feature of the centre crop, and every epoch sees just that.

    Raises:
        UserError: if crops are wanted of features.
    """
    config, dataset, items = prepared.config, prepared.dataset, prepared.train_items
    if config.key_views == 0:
        return cache.features(dataset, items)[:, 0], None
    if isinstance(dataset, GivenFeatures):
        raise UserError(
            f"key_views is {config.key_views}, but random crops need pictures, and these are "
            "features. Set key_views to 0, or give the pictures."
        )
    first = 1 + config.key_views  # the crops of the first epoch; view 0 is the centre crop
    views = cache.features(dataset, items, first + config.epochs, config.seed)
    keys = F.normalize(views[:, 1:first].mean(dim=1), dim=-1)
    return keys, views[:, first:].transpose(0, 1).contiguous()

"""Fits the baselines without prompt learning, linear probe and Tip-Adapter, on cached features."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.c_search import own_c, published_c
from mocoop.classifiers.linear_probe import fit_linear_probe
from mocoop.classifiers.tip_adapter import fit_tip_adapter
from mocoop.classifiers.tip_search import OWN_SEARCH, published_search
from mocoop.datasets.in_memory import GivenFeatures
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.method_record import LINEAR_PROBE
from mocoop.methods import METHODS
from mocoop.training.loop import EpochRecord
from mocoop.training.prepare import Prepared


def fit_baseline(
    prepared: Prepared, text: Tensor, cache: FeatureCache
) -> tuple[dict[str, Tensor], EpochRecord]:
    """Returns the weights of a fitted classifier by name, and one record of the training.

    Args:
        prepared: the inputs of a run whose method is fitted on image features.
        text: text features of all classes with the untrained prompt, (classes, dim), on the CPU.
        cache: image features of the run's backbone.

    Raises:
        UserError: for a linear probe without validation images, or a loss that diverges.
    """
    config, dataset = prepared.config, prepared.dataset
    val = cache.features(dataset, prepared.val_items)[:, 0]
    labels = torch.tensor([item.label for item in prepared.train_items])
    val_labels = torch.tensor([item.label for item in prepared.val_items], dtype=torch.long)
    count = len(prepared.trained)
    method = METHODS[config.method]
    published = config.search == "published"
    if method.classifier == LINEAR_PROBE:
        train = cache.features(dataset, prepared.train_items)[:, 0]
        search = published_c if published else own_c
        probe = fit_linear_probe(train, labels, val, val_labels, count, search)
        record = EpochRecord(0, {}, None, probe.val_accuracy)
        return probe.to_tensors(), record
    keys, crops = _tip_features(prepared, cache)
    device = prepared.backbone.device
    adapter = fit_tip_adapter(
        keys.to(device),
        labels.to(device),
        val.to(device),
        val_labels.to(device),
        text[:count].to(device),
        prepared.backbone.logit_scale,
        fine_tune=method.learns_in_epochs,
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
    record = EpochRecord(config.epochs, {}, None, adapter.val_accuracy)
    return adapter.to_tensors() | {"text": text}, record


def _tip_features(prepared: Prepared, cache: FeatureCache) -> tuple[Tensor, Tensor | None]:
    """Returns Tip-Adapter's keys (images, dim), and the crops (epochs, images, dim) or None.

    As in the authors' code, a key is the mean over random crops, and fine-tuning sees another
    crop of an image in every epoch; each of them is drawn once and cached. Without crops a key
    is the feature of the centre crop, and every epoch sees just that.

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

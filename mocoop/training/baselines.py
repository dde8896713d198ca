"""Fits the baselines without prompt learning, linear probe and Tip-Adapter, on cached features."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.classifiers.linear_probe import fit_linear_probe
from mocoop.classifiers.tip_adapter import fit_tip_adapter
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
    train = cache.features(dataset, prepared.train_items)[:, 0]
    val = (
        cache.features(dataset, prepared.val_items)[:, 0]
        if prepared.val_items
        else train.new_zeros(0, train.shape[1])
    )
    labels = torch.tensor([item.label for item in prepared.train_items])
    val_labels = torch.tensor([item.label for item in prepared.val_items], dtype=torch.long)
    count = len(prepared.trained)
    method = METHODS[config.method]
    if method.classifier == LINEAR_PROBE:
        probe = fit_linear_probe(train, labels, val, val_labels, count)
        record = EpochRecord(0, {}, None, probe.val_accuracy)
        return probe.to_tensors(), record
    adapter = fit_tip_adapter(
        train,
        labels,
        val,
        val_labels,
        text[:count],
        prepared.backbone.logit_scale,
        fine_tune=method.learns_in_epochs,
        generator=torch.Generator().manual_seed(config.seed),
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
    )
    # New classes have no images in the cache: only their text features score them.
    adapter = replace(adapter, values=F.pad(adapter.values, (0, len(text) - count)))
    record = EpochRecord(config.epochs, {}, None, adapter.val_accuracy)
    return adapter.to_tensors() | {"text": text}, record

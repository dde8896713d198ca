"""Builds the clients of a federation: their models, and the features of their own images."""

from __future__ import annotations

import torch

from mocoop.features.cache import FeatureCache
from mocoop.federated.attention_gate import BesideOthers
from mocoop.federated.client import Client
from mocoop.federated.partitions import Partition
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.strategies import find_strategy
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import HardText, group_prototypes, hard_features
from mocoop.training.data import TrainingData
from mocoop.training.image_sources import CachedImages
from mocoop.training.prepare import Prepared


def make_clients(
    config: FederatedConfig, prepared: Prepared, partition: Partition
) -> list[Client]:
    """Returns the clients of a partition, with equal untrained models."""
    strategy, training, backbone = (
        find_strategy(config.strategy),
        prepared.config,
        prepared.backbone,
    )
    dataset = prepared.dataset
    hard = hard_features(backbone.text, prepared.groups, dataset.class_names)
    text = HardText.from_features(
        tuple(part.cpu() for part in hard),
        group_prototypes(hard).cpu(),
        training.text_target == "templates",
    )
    cache = FeatureCache(backbone)
    device = backbone.device
    clients = []
    parts = zip(
        partition.clients,
        partition.items(dataset, "train"),
        partition.items(dataset, "test"),
        strict=True,
    )
    for share, train, test in parts:
        generator = torch.Generator().manual_seed(training.seed)
        model = build_model(training, backbone, prepared.groups, generator)
        if strategy.foreign:
            model = BesideOthers.of(model, backbone.text.dim, config.own_weight)
        data = TrainingData(
            CachedImages(cache.features(dataset, train, training.views, training.seed)),
            torch.tensor([item.label for item in train]),
            CachedImages(cache.features(dataset, [])),
            torch.tensor([], dtype=torch.long),
            dataset.class_names,
            len(dataset.class_names),
            text,
        ).to(device)
        clients.append(
            Client(
                share.name,
                strategy,
                training,
                model,
                backbone.text,
                data,
                cache.features(dataset, test)[:, 0].to(device),
                torch.tensor([item.label for item in test], device=device),
                config.local_epochs,
                config.clip,
                config.noise,
            )
        )
    return clients

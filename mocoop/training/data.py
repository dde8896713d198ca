"""What a training trains with: images, labels and hard prompts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mocoop.model.hard_prompts import HardText
from mocoop.training.image_sources import ImageSource


@dataclass(frozen=True)
class TrainingData:
    """Images, labels and hard prompts of a training; label 0 is the first trained class."""

    train: ImageSource
    train_labels: Tensor  # (images,)
    val: ImageSource
    val_labels: Tensor  # (images,)
    class_names: tuple[str, ...]  # names in the text loss, trained classes first
    num_trained: int  # number of classes with images
    hard: HardText

    def to(self, device: torch.device) -> TrainingData:
        """Returns the same data on a device."""
        return TrainingData(
            self.train.to(device),
            self.train_labels.to(device),
            self.val.to(device),
            self.val_labels.to(device),
            self.class_names,
            self.num_trained,
            self.hard.to(device),
        )

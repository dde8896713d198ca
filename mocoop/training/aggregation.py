"""Gaussian-weighted aggregation of prompts: the mean of the learned parameters over the epochs.

PromptSRC (Khattak et al., ICCV 2023, arXiv 2307.06948). Its code averages the whole model, with
the frozen CLIP in fp16; here only what is learned is averaged, in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mocoop.config import TrainConfig

_NAME = "aggregate/"


def gaussian_weights(epochs: int, mean: float, std: float) -> Tensor:
    """Returns the weights of the epochs 1 to `epochs`, (epochs,), fp64; they sum to 1.

    `w_e` is proportional to `exp(-(e - mean)² / (2 std²))`.

    Args:
        epochs: the number of epochs.
        mean: the epoch with the largest weight; behind the last one, that one has it.
        std: the standard deviation in epochs.
    """
    apart = torch.arange(1, epochs + 1, dtype=torch.float64) - mean
    # A softmax of the exponents: far from the mean all exponentials would be 0.
    return (-0.5 * (apart / std) ** 2).softmax(dim=0)


class GaussianAggregate:
    """The weighted sum of a model's learned parameters over the epochs.

    Args:
        learned: the parameters, which the last epoch's end changes in place.
        config: gives the number of epochs, and mean and standard deviation of the weights.
    """

    def __init__(self, learned: Sequence[Tensor], config: TrainConfig) -> None:
        self._learned = learned
        self._weights = gaussian_weights(
            config.epochs, config.aggregation_mean, config.aggregation_std
        ).tolist()
        self._sums = [torch.zeros_like(parameter, dtype=torch.float32) for parameter in learned]

    @torch.no_grad()
    def end_epoch(self, epoch: int) -> None:
        """Adds the parameters after an epoch, from 1; after the last one they become the sum."""
        for total, parameter in zip(self._sums, self._learned, strict=True):
            total.add_(parameter.float(), alpha=self._weights[epoch - 1])
            if epoch == len(self._weights):
                parameter.copy_(total)

    def state(self) -> dict[str, Tensor]:
        """Returns the sums so far, by name."""
        return {f"{_NAME}{index}": total.clone() for index, total in enumerate(self._sums)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restores sums that `state` returned for the same parameters."""
        for index, total in enumerate(self._sums):
            total.copy_(state[f"{_NAME}{index}"])

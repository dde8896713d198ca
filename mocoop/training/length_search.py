"""The search stage of DPL: how many learned keys and values each block of the towers gets.

Differentiable prompt learning: Huang et al., arXiv 2501.00457. Every step is one step of Adam on
the alphas with a random batch of held-out images, then one of SGD on the candidates' tokens with
a batch of training images (first order, alternating). Held-out images are validation images of the
trained classes, or half of the training images: neither test images nor new classes are seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.key_prompts import ChosenLengths, KeyPrompts
from mocoop.model.learnable import learned_numbers
from mocoop.model.mixture import PromptMixture
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.batches import epoch_batches, step_counts
from mocoop.training.data import TrainingData
from mocoop.training.image_sources import ImageSource
from mocoop.training.optimizer import DivergedError, PromptOptimizer
from mocoop.training.step_losses import step_losses

BETAS = (0.5, 0.999)  # of Adam on the alphas, as in the authors' program
_ADAM = {"exp_avg": "mean", "exp_avg_sq": "square", "step": "step"}
TEXT, IMAGE = "text", "vision"
"""The towers, as the names of settings begin with them."""


@dataclass(frozen=True)
class SearchResult:
    """What a search chose, by tower; a tower whose lengths were given is missing."""

    towers: Mapping[str, ChosenLengths]

    @classmethod
    def from_model(cls, model: PromptMixture) -> SearchResult:
        """Returns the choice by a model's alphas.

        Raises:
            UserError: if the choice leaves nothing to learn.
        """
        towers = {side: ChosenLengths.from_alphas(a) for side, a in alphas_of(model).items()}
        found = sum(sum(chosen.lengths) for chosen in towers.values())
        if not found and not learned_numbers(model, list(_searched_parts(model).values())):
            raise UserError(
                "The search chose no learned tokens in any block, so that there is nothing to "
                "train. Search with another seed, more epochs (length_epochs) or another rate "
                "(length_rate), or give the numbers of tokens (vision_lengths, text_lengths)."
            )
        return cls(towers)

    @classmethod
    def from_json(cls, text: str) -> SearchResult:
        """Returns a result from the text of `to_json`."""
        rows = lambda values: tuple(tuple(row) for row in values)
        return cls(
            {
                found["tower"]: ChosenLengths(
                    tuple(found["lengths"]),
                    tuple(found["margins"]),
                    rows(found["shares"]),
                    rows(found["alphas"]),
                )
                for found in json.loads(text)
            }
        )

    def to_json(self) -> str:
        """Returns the result as a text."""
        return json.dumps(self.values())

    def values(self) -> list[dict[str, Any]]:
        """Returns the result as plain values, one dictionary per tower."""
        return [{"tower": side} | asdict(chosen) for side, chosen in self.towers.items()]

    def settings(self, config: TrainConfig) -> TrainConfig:
        """Returns the settings of the training: those of the run, with the chosen lengths."""
        lengths: dict[str, Any] = {
            f"{side}_lengths": chosen.lengths for side, chosen in self.towers.items()
        }
        return replace(config, **lengths)


def alphas_of(model: PromptMixture) -> dict[str, Tensor]:
    """Returns the alphas of each tower with a search, (blocks, 1 + candidates)."""
    found = {side: part.alphas for side, part in _searched_parts(model).items()}
    return {side: alphas for side, alphas in found.items() if alphas is not None}


def _searched_parts(model: PromptMixture) -> dict[str, KeyPrompts]:
    """Returns the candidates of each tower with a search."""
    parts = {TEXT: model.prompts.keys, IMAGE: model.vision}
    return {
        side: part
        for side, part in parts.items()
        if isinstance(part, KeyPrompts) and part.alphas is not None
    }


class SearchOptimizer:
    """Adam on the alphas, and the training's own optimiser on all other parameters.

    Args:
        model: the model with the candidates, on its device.
        config: the run's settings; the schedule of the rates spans `length_epochs`.
    """

    def __init__(self, model: PromptMixture, config: TrainConfig) -> None:
        self.config = _searched(config)
        self.prompts = PromptOptimizer(model, self.config)
        self._alphas = alphas_of(model)
        self._adam = torch.optim.Adam(list(self._alphas.values()), config.length_rate, BETAS)

    def step_alphas(self, loss: Tensor, epoch: int, number: int) -> None:
        """Updates the alphas with the gradient of a loss on validation images.

        Raises:
            DivergedError: if the loss is not finite.
        """
        if not torch.isfinite(loss):
            raise DivergedError(
                "The loss on the validation images is no longer a finite number in epoch "
                f"{epoch} of the search, step {number}. Use a smaller learning rate."
            )
        alphas, scale = list(self._alphas.values()), self.prompts.loss_scale
        gradients = [g / scale for g in torch.autograd.grad(loss * scale, alphas)]
        if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
            return  # an overflow of fp16: the next step of the prompts lowers the scale
        for parameter, gradient in zip(alphas, gradients, strict=True):
            parameter.grad = gradient
        self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """Returns the state on which later steps depend, by name."""
        state = self.prompts.state()
        for side, parameter in self._alphas.items():
            for name, value in self._adam.state.get(parameter, {}).items():
                state[f"alphas/{side}/{_ADAM[name]}"] = value
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restores a state that `state` returned for a model of the same shape."""
        self.prompts.restore(state)
        for side, parameter in self._alphas.items():
            for name, short in _ADAM.items():
                value = state.get(f"alphas/{side}/{short}")
                if value is not None:
                    device = "cpu" if name == "step" else parameter.device
                    self._adam.state[parameter][name] = value.to(device, copy=True)


def search_lengths(
    model: PromptMixture,
    tower: TextTower,
    data: TrainingData,
    config: TrainConfig,
    generator: torch.Generator,
    optimizer: SearchOptimizer,
    done: int = 0,
) -> Iterator[int]:
    """Trains the candidates and their alphas in place; yields the number of each epoch.

    Only the search holds training images out: the training itself sees all of them.

    Args:
        model: the model with the candidates, on the data's device.
        tower: the frozen text tower.
        data: images and labels.
        config: the run's settings.
        generator: draws batches and views; a CPU generator.
        optimizer: the model's optimiser.
        done: number of epochs that model, optimiser and generator have already been through.

    Raises:
        DivergedError: when a loss is no longer finite.
    """
    classes, searched = ClassTokens.from_names(tower.tokens, data.class_names), _searched(config)
    own, held_out = _parts(data, config)
    counts = step_counts(len(own.chosen), data.num_trained, searched)

    def losses_of(part: _Part, chosen: Tensor, drawn: int) -> dict[str, Tensor]:
        rows = part.chosen[chosen]
        features = part.images.batch(model, rows, drawn, generator)
        labels = part.labels[rows]
        return step_losses(model, tower, classes, features, labels, data, searched, generator)[0]

    for epoch in range(done + 1, searched.epochs + 1):
        optimizer.prompts.set_epoch(epoch)
        batches = epoch_batches(len(own.chosen), counts, epoch, searched, generator)
        for number, (chosen, drawn) in enumerate(batches, 1):
            own.images.prefetch(own.chosen[chosen], drawn)
            # A new random batch in every step: the alphas see all held-out images.
            order = torch.randperm(len(held_out.chosen), generator=generator)
            loss = losses_of(held_out, order[: config.length_batch], drawn)["classification"]
            optimizer.step_alphas(loss, epoch, number)
            losses = losses_of(own, chosen, drawn)
            optimizer.prompts.set_step(sum(counts[: epoch - 1]) + number - 1, sum(counts))
            optimizer.prompts.step(losses, epoch, number)
        yield epoch


def check_held_out(
    config: TrainConfig, labels: Sequence[int], validation: int, val_is_test: bool
) -> None:
    """Raises UserError if a search has no images that the weights of the lengths may learn from.

    Args:
        config: the run's settings.
        labels: the labels of the training images.
        validation: the number of validation images.
        val_is_test: whether validation images of the data set are test images too.
    """
    if not config.searches_lengths:
        return
    advice = (
        "Hold training images out instead (length_images train), or give the numbers of tokens "
        "(vision_lengths, text_lengths)."
    )
    if config.length_images == "train":
        if max(Counter(labels).values()) < 2:
            raise UserError(
                "The search of the numbers of tokens (length_epochs) holds half of the training "
                "images out (length_images train), but every class has only one. Use 2 shots or "
                "more."
            )
    elif not validation:
        raise UserError(
            "The search of the numbers of tokens (length_epochs) learns from validation images, "
            f"and there are none. Use validation few or all, if the data set has some. {advice}"
        )
    elif val_is_test:
        raise UserError(
            "The search of the numbers of tokens (length_epochs) learns from validation images, "
            f"but those of this data set are its test images. {advice}"
        )


@dataclass(frozen=True)
class _Part:
    """Some of the images of a source."""

    images: ImageSource
    labels: Tensor  # of all images of the source
    chosen: Tensor  # the indices of these images, on the CPU


def _parts(data: TrainingData, config: TrainConfig) -> tuple[_Part, _Part]:
    """Returns the images of the candidates' tokens, and those of their weights."""
    every = torch.arange(len(data.train))
    if config.length_images == "validation":
        rest = torch.arange(len(data.val))
        return (
            _Part(data.train, data.train_labels, every),
            _Part(data.val, data.val_labels, rest),
        )
    # Of its own, so that a resumed search holds the same images out.
    generator = torch.Generator().manual_seed(config.seed)
    labels, held_out = data.train_labels.cpu(), torch.zeros(len(every), dtype=torch.bool)
    for label in labels.unique():
        images = (labels == label).nonzero().flatten()
        order = torch.randperm(len(images), generator=generator)
        held_out[images[order[: len(images) // 2]]] = True
    part = lambda which: _Part(data.train, data.train_labels, every[which])
    return part(~held_out), part(held_out)


def _searched(config: TrainConfig) -> TrainConfig:
    """Returns the settings whose epochs are those of the search."""
    return replace(config, epochs=config.length_epochs, steps_per_shot=0)

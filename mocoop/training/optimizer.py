"""One optimiser step: gradients, alignment, clipping, scaling, and the last finite weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import torch
from torch import Tensor

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.key_prompts import ALPHAS
from mocoop.model.mixture import PromptMixture
from mocoop.training.aggregation import GaussianAggregate

# A general gradient smaller than the other one by this factor is rounding error: its direction
# has no meaning.
NO_DIRECTION = 1e-5
_SCALE = ("scale", "_growth_tracker")  # the parts of a gradient scaler's state that change
# What an optimiser remembers of a parameter → its name in a snapshot.
_REMEMBERED = {
    "momentum_buffer": "momentum",
    "exp_avg": "mean",
    "exp_avg_sq": "square",
    "step": "step",
}


class DivergedError(UserError):
    """Raised when a loss is no longer finite; the model holds the last finite weights."""


class PromptOptimizer:
    """SGD or AdamW over a model's parameters; router and image tower have their own rates.

    Args:
        model: the model, on its device.
        config: the run's settings.
    """

    def __init__(self, model: PromptMixture, config: TrainConfig) -> None:
        self._config, self._model = config, model
        named = model.named_parameters()
        # The weights of a search's candidates have an optimiser of their own.
        self._learned = [
            parameter
            for name, parameter in named
            if parameter.requires_grad and not name.endswith(ALPHAS) and not model.rests(name)
        ]
        learned = set(map(id, self._learned))
        router = [p for p in model.router_parameters() if id(p) in learned]
        norms = [] if model.norms is None else list(model.norms.parameters())
        vision = [] if model.vision is None else list(model.vision.parameters())
        vision = [p for p in vision if id(p) in learned]
        with_own_rate = {id(p) for p in (*router, *norms, *vision)}
        others = [p for p in self._learned if id(p) not in with_own_rate]
        groups = [
            {"params": others, "share": 1.0},
            {"params": router, "share": config.gate_rate},
            {"params": norms, "share": config.layer_norm_rate},
            {"params": vision, "share": config.vision_rate},
        ]
        used = [group for group in groups if group["params"]]
        rate, decay = config.learning_rate, config.weight_decay
        self._optimizer: torch.optim.Optimizer
        if config.optimizer == "adamw":
            self._optimizer = torch.optim.AdamW(used, rate, weight_decay=decay)
        else:
            self._optimizer = torch.optim.SGD(used, rate, config.momentum, weight_decay=decay)
        device = self._learned[0].device.type
        # In fp16 small gradients become zero unless they are scaled up.
        self._scaler = torch.amp.GradScaler(device, enabled=config.precision == "fp16")
        self._last_finite: list[Tensor] = []
        gaussian = config.aggregation == "gaussian"
        self._aggregate = GaussianAggregate(self._learned, config) if gaussian else None

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate of the prompts; those of all other parts follow it."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]

    def set_epoch(self, epoch: int) -> float:
        """Sets the learning rates of an epoch, from 1; returns that of the prompts.

        With `warmup_groups` `same` all other parts have a multiple of the peak rate, but
        the same rate in the warm-up, as in Dassl.
        """
        config = self._config
        self.set_rate(learning_rate(epoch, config))
        if config.warmup_groups == "same":
            for group in self._optimizer.param_groups:
                peak = group["share"] * config.learning_rate
                group["lr"] = learning_rate(epoch, replace(config, learning_rate=peak))
        return learning_rate(epoch, config)

    def set_step(self, done: int, total: int) -> None:
        """Sets the learning rates of a step with `schedule_by` `step`; else it does nothing.

        Args:
            done: the number of steps before this one.
            total: the number of steps of the whole training.
        """
        if self._config.schedule_by == "step":
            self.set_rate(rate_after(done, total, self._config))

    def step(self, losses: Mapping[str, Tensor], epoch: int, number: int) -> None:
        """Updates the weights with the gradient of `losses["total"]`.

        With `align_gradient`, the part of the gradient that contradicts `losses["general"]` is
        removed.

        Args:
            losses: scalars by name.
            epoch: the epoch, for the error message.
            number: the step's number in the epoch, from 1, for the error message.

        Raises:
            DivergedError: if a loss is not finite; the model then holds the weights of the last
                step whose losses were finite.
        """
        diverged = [name for name, loss in losses.items() if not torch.isfinite(loss)]
        if diverged:
            self._restore_last_finite(
                f"The {diverged[0]} loss", f"in epoch {epoch}, step {number}"
            )
        self._last_finite = [parameter.detach().clone() for parameter in self._learned]
        align = self._config.align_gradient
        gradients = self._gradients(losses["total"], retain_graph=align)
        if align:
            general = self._gradients(losses["general"])
            gradients = aligned(gradients, general, self._config.align_weight)
        for parameter, gradient in zip(self._learned, gradients, strict=True):
            parameter.grad = gradient
        self._scaler.unscale_(self._optimizer)
        if self._config.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(self._learned, self._config.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()

    @property
    def loss_scale(self) -> float:
        """The number by which losses are multiplied for their gradients; 1 except in fp16."""
        return self._scaler.get_scale() if self._scaler.is_enabled() else 1.0

    def end_epoch(self, epoch: int) -> None:
        """Ends an epoch, from 1: with `aggregation` the last one gives the model the sum."""
        if self._aggregate is not None:
            self._aggregate.end_epoch(epoch)

    def check(self, logits: Tensor, epoch: int) -> None:
        """Checks the logits after an epoch: no loss is computed after its last step.

        Raises:
            DivergedError: if a logit is not finite; the model then holds the weights before the
                last step.
        """
        if not torch.isfinite(logits).all():
            self._restore_last_finite("A logit", f"after epoch {epoch}")

    def state(self) -> dict[str, Tensor]:
        """Returns the state on which later steps depend, besides weights and rate, by name."""
        state = {f"good/{index}": value for index, value in enumerate(self._last_finite)}
        for index, parameter in enumerate(self._learned):
            for name, value in self._optimizer.state.get(parameter, {}).items():
                if value is not None:
                    state[f"{_REMEMBERED[name]}/{index}"] = value
        if self._aggregate is not None:
            state |= self._aggregate.state()
        if self._scaler.is_enabled():
            scale = self._scaler.state_dict()
            state["scale"] = torch.tensor([scale[name] for name in _SCALE], dtype=torch.float64)
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restores a state that `state` returned for a model of the same shape."""
        self._last_finite = [
            state[f"good/{index}"].to(parameter.device)
            for index, parameter in enumerate(self._learned)
            if f"good/{index}" in state
        ]
        for index, parameter in enumerate(self._learned):
            for name, short in _REMEMBERED.items():
                value = state.get(f"{short}/{index}")
                if value is not None:
                    # AdamW keeps its counter of steps on the CPU.
                    device = "cpu" if name == "step" else parameter.device
                    self._optimizer.state[parameter][name] = value.to(device, copy=True)
        if self._aggregate is not None:
            self._aggregate.restore(state)
        if self._scaler.is_enabled() and "scale" in state:
            scale, growth = state["scale"].tolist()
            values = dict(zip(_SCALE, (scale, int(growth)), strict=True))
            self._scaler.load_state_dict(self._scaler.state_dict() | values)

    def _gradients(self, loss: Tensor, retain_graph: bool = False) -> list[Tensor]:
        """Returns the (scaled) gradients of a loss, one per trainable parameter."""
        scaled = self._scaler.scale(loss)
        gradients = torch.autograd.grad(
            scaled, self._learned, retain_graph=retain_graph, materialize_grads=True
        )
        return self._model.ranks.mean(gradients)

    @torch.no_grad()
    def _restore_last_finite(self, what: str, when: str) -> NoReturn:
        """Restores the last finite weights, if there was any step, and raises DivergedError."""
        for parameter, value in zip(self._learned, self._last_finite, strict=False):
            parameter.copy_(value)
        raise DivergedError(
            f"{what} is no longer a finite number {when}. The last finite weights are kept. Use "
            "a smaller learning rate, clip the gradient (clip_norm 1), or compute in fp32."
        )


def aligned(
    gradients: Sequence[Tensor], general: Sequence[Tensor], weight: float = 1.0
) -> list[Tensor]:
    """Returns gradients without the part that contradicts the general direction (ProGrad).

    `g - weight * min(0, <g, h>) / <h, h> * h`: g is unchanged where g and h agree, otherwise it
    is projected onto the plane orthogonal to h (with weight 1). Products are over all parameters
    together. Before the first step the prompts predict the same as the untrained prompt, so that
    h is about zero.

    Args:
        gradients: g, the gradients of the loss, one per parameter.
        general: h, the gradients of the divergence from the untrained prompt, in the same order.
        weight: ProGrad's λ, the share of the contradicting part that is removed.
    """
    product = sum(float((g * h).sum()) for g, h in zip(gradients, general, strict=True))
    square = sum(float(h.square().sum()) for h in general)
    own = sum(float(g.square().sum()) for g in gradients)
    if product >= 0 or square <= NO_DIRECTION**2 * own:
        return list(gradients)
    share = weight * product / square
    return [g - share * h for g, h in zip(gradients, general, strict=True)]


def learning_rate(epoch: int, config: TrainConfig) -> float:
    """Returns the learning rate of an epoch (1-based): warm-up, then CoOp's cosine or a constant.

    As in CoOp, the cosine spans all epochs but starts after the warm-up, so that it does not
    quite reach zero. Without more epochs than warm-up epochs there is no warm-up.
    """
    warm = config.warmup_epochs if config.epochs > config.warmup_epochs else 0
    if epoch <= warm:
        share = (epoch - 1) / warm if config.warmup == "linear" else 0.0
        return config.warmup_rate + share * (config.learning_rate - config.warmup_rate)
    return rate_after(epoch - 1 - warm, config.epochs, config)


def rate_after(done: int, total: int, config: TrainConfig) -> float:
    """Returns the learning rate after `done` of `total` epochs or steps, without warm-up."""
    if config.schedule == "constant":
        return config.learning_rate
    range_of_rates = config.learning_rate - config.final_rate
    return config.final_rate + range_of_rates * 0.5 * (1 + math.cos(math.pi * done / total))

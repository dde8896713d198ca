"""One optimiser step: gradients, alignment, clipping, scaling, and the last good weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.mixture import PromptMixture

# A general gradient this much smaller than the other one is rounding, and points nowhere.
NO_DIRECTION = 1e-5
_SCALE = ("scale", "_growth_tracker")  # what changes in the state of a gradient scaler


class DivergedError(UserError):
    """A loss that is no longer finite; the model holds the last good weights."""


class PromptOptimizer:
    """SGD over what a model learns; LayerNorms and router at rates of their own.

    Args:
        model: the model, on its device.
        config: the run's settings.
    """

    def __init__(self, model: PromptMixture, config: TrainConfig) -> None:
        self._config = config
        self._learnt = [p for p in model.parameters() if p.requires_grad]
        router = [] if model.gate is None else list(model.gate.parameters())
        norms = [] if model.norms is None else list(model.norms.parameters())
        apart = {id(p) for p in (*router, *norms)}
        others = [p for p in self._learnt if id(p) not in apart]
        groups = [
            {"params": others, "share": 1.0},
            {"params": router, "share": config.gate_rate},
            {"params": norms, "share": config.layer_norm_rate},
        ]
        self._optimizer = torch.optim.SGD(
            [group for group in groups if group["params"]],
            config.learning_rate,
            config.momentum,
            weight_decay=config.weight_decay,
        )
        device = self._learnt[0].device.type
        # fp16 has so few small numbers that gradients vanish unless they are scaled up.
        self._scaler = torch.amp.GradScaler(device, enabled=config.precision == "fp16")
        self._good: list[Tensor] = []

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate of the prompts, and with it those of router and LayerNorms."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]

    def step(self, losses: Mapping[str, Tensor], epoch: int, number: int) -> None:
        """Moves the weights by the gradient of `losses["total"]`.

        With `align_gradient` the part of it that contradicts `losses["general"]` is dropped.

        Args:
            losses: scalars by name.
            epoch: for the error's words.
            number: of the step in the epoch, from 1.

        Raises:
            DivergedError: if a loss is not finite; the weights are then those of the last step
                whose losses were.
        """
        bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
        if bad:
            self._go_back(f"The {bad[0]} loss", f"in epoch {epoch}, step {number}")
        self._good = [parameter.detach().clone() for parameter in self._learnt]
        align = self._config.align_gradient
        gradients = self._gradients(losses["total"], again=align)
        if align:
            gradients = aligned(gradients, self._gradients(losses["general"]))
        for parameter, gradient in zip(self._learnt, gradients, strict=True):
            parameter.grad = gradient
        self._scaler.unscale_(self._optimizer)
        if self._config.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(self._learnt, self._config.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Tensor]:
        """Returns what the steps to come depend on besides weights and rate, by name."""
        found = {f"good/{index}": value for index, value in enumerate(self._good)}
        for index, parameter in enumerate(self._learnt):
            momentum = self._optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                found[f"momentum/{index}"] = momentum
        if self._scaler.is_enabled():
            scale = self._scaler.state_dict()
            found["scale"] = torch.tensor([scale[name] for name in _SCALE], dtype=torch.float64)
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes on a state that `state` gave for a model of the same shape."""
        self._good = [
            state[f"good/{index}"].to(parameter.device)
            for index, parameter in enumerate(self._learnt)
            if f"good/{index}" in state
        ]
        for index, parameter in enumerate(self._learnt):
            momentum = state.get(f"momentum/{index}")
            if momentum is not None:
                moved = momentum.to(parameter.device, copy=True)
                self._optimizer.state[parameter]["momentum_buffer"] = moved
        if self._scaler.is_enabled() and "scale" in state:
            scale, growth = state["scale"].tolist()
            values = dict(zip(_SCALE, (scale, int(growth)), strict=True))
            self._scaler.load_state_dict(self._scaler.state_dict() | values)

    def _gradients(self, loss: Tensor, again: bool = False) -> list[Tensor]:
        """Returns the (scaled) gradient of a loss; `again` keeps its graph for another one."""
        scaled = self._scaler.scale(loss)
        found = torch.autograd.grad(
            scaled, self._learnt, retain_graph=again, materialize_grads=True
        )
        return list(found)

    def check(self, logits: Tensor, epoch: int) -> None:
        """Makes sure that the last step of an epoch, which no loss judges, went well.

        Raises:
            DivergedError: if a logit is not finite; the weights are then those before the step.
        """
        if not torch.isfinite(logits).all():
            self._go_back("A logit", f"after epoch {epoch}")

    @torch.no_grad()
    def _go_back(self, what: str, when: str) -> NoReturn:
        """Restores the last good weights, if there was any step, and raises DivergedError."""
        for parameter, value in zip(self._learnt, self._good, strict=False):
            parameter.copy_(value)
        raise DivergedError(
            f"{what} is no longer a finite number {when}. The last good weights are kept. Use a "
            "smaller learning rate, clip the gradient (clip_norm 1), or compute in fp32."
        )


def aligned(gradients: Sequence[Tensor], general: Sequence[Tensor]) -> list[Tensor]:
    """Returns gradients without what contradicts the general direction (ProGrad).

    `g - min(0, <g, h>) / <h, h> * h`: unchanged where g and h agree, else its projection onto
    the plane orthogonal to h. Products are over all parameters together. Before the first step
    prompts predict what the untrained prompt does, and there is no h to speak of.

    Args:
        gradients: of the loss, by parameter.
        general: of the divergence from the untrained prompt, in the same order.
    """
    product = sum(float((g * h).sum()) for g, h in zip(gradients, general, strict=True))
    square = sum(float(h.square().sum()) for h in general)
    own = sum(float(g.square().sum()) for g in gradients)
    if product >= 0 or square <= NO_DIRECTION**2 * own:
        return list(gradients)
    return [g - product / square * h for g, h in zip(gradients, general, strict=True)]


def learning_rate(epoch: int, config: TrainConfig) -> float:
    """Returns the rate of an epoch (1-based): warm-up, then CoOp's cosine or a constant.

    As in CoOp, the cosine spans all epochs but starts after the warm-up, so that it does not
    quite reach zero. With fewer epochs than warm-up there is none.
    """
    warm = config.warmup_epochs if config.epochs > config.warmup_epochs else 0
    if epoch <= warm:
        share = (epoch - 1) / warm if config.warmup == "linear" else 0.0
        return config.warmup_rate + share * (config.learning_rate - config.warmup_rate)
    if config.schedule == "constant":
        return config.learning_rate
    done = epoch - 1 - warm
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done / config.epochs))

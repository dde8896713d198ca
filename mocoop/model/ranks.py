"""One model in several processes (ranks): each computes its share of the texts and the images.

All ranks have the same weights and the same batch. Each encodes the prompts of its classes, of all
experts, and its images where the image tower learns; the features of all are gathered, and every
rank computes the same loss from them. Backwards, a rank has the gradient through its own share
alone, which `over` multiplies by the number of ranks: the mean over the ranks is then the whole
gradient, and also for what every rank computes in full, such as the router.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from mocoop.errors import UserError
from mocoop.prompt_encoder.layout import ClassTokens

LEFT = (
    "Another process of this training has ended, so it cannot go on. What the first process has "
    "saved is complete: continue with `mocoop resume`."
)


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train one model; alone by default."""

    rank: int = 0
    world: int = 1

    def part(self, count: int) -> tuple[int, int]:
        """Returns the first index of this rank's share of `count` things, and that behind it.

        >>> [Ranks(rank, 3).part(7) for rank in range(3)]
        [(0, 2), (2, 4), (4, 7)]
        """
        return count * self.rank // self.world, count * (self.rank + 1) // self.world

    def over_classes(
        self, classes: ClassTokens, encode: Callable[[ClassTokens], Tensor]
    ) -> Tensor:
        """Returns text features (experts, classes, dim) of all classes.

        Args:
            classes: all classes.
            encode: returns features (experts, classes, dim) of some classes.
        """
        count = len(classes.names)
        if not self._shares(count):
            return encode(classes)
        # The dtypes inside the towers are not known to every backend.
        return self._gathered(encode(classes.part(*self.part(count))).float(), count, 1)

    def over_images(self, images: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns features (images, dim) of all images.

        Args:
            images: indices or pictures, (images, …).
            encode: returns features (images, dim) of some of them.
        """
        count = len(images)
        if not self._shares(count):
            return encode(images)
        first, last = self.part(count)
        return self._gathered(encode(images[first:last]).float(), count, 0)

    def mean(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Returns the mean of each gradient over the ranks, the same on all of them."""
        if self.world == 1:
            return list(gradients)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with_others(torch.distributed.all_reduce, flat)
        flat /= self.world
        parts = flat.split([gradient.numel() for gradient in gradients])
        return [part.view_as(old) for part, old in zip(parts, gradients, strict=True)]

    def _shares(self, count: int) -> bool:
        """Whether there are enough things for all ranks; if not, each rank does all of them."""
        return 1 < self.world <= count

    def _gathered(self, own: Tensor, count: int, axis: int) -> Tensor:
        """Returns the shares of all ranks in their order, with this rank's gradient."""
        bounds = [Ranks(rank, self.world).part(count) for rank in range(self.world)]
        gathered: Tensor = _Gather.apply(own, bounds, self.rank, axis)
        return gathered


class _Gather(torch.autograd.Function):
    """Joins the shares of all ranks; backwards it passes on the gradient of the own one."""

    @staticmethod
    def forward(
        ctx: Any, own: Tensor, bounds: list[tuple[int, int]], rank: int, axis: int
    ) -> Tensor:
        ctx.bounds, ctx.rank, ctx.axis = bounds, rank, axis
        sizes = [last - first for first, last in bounds]
        # Every rank sends as much: shorter shares are filled up.
        shape = list(own.shape)
        shape[axis] = max(sizes)
        sent = own.new_zeros(shape)
        sent.narrow(axis, 0, own.shape[axis]).copy_(own)
        received = [torch.empty_like(sent) for _ in sizes]
        with_others(torch.distributed.all_gather, received, sent)
        shares = [part.narrow(axis, 0, n) for part, n in zip(received, sizes, strict=True)]
        return torch.cat(shares, dim=axis)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        first, last = ctx.bounds[ctx.rank]
        own = gradients[0].narrow(ctx.axis, first, last - first)
        return len(ctx.bounds) * own, None, None, None


def with_others(collective: Callable[..., Any], *arguments: Any) -> None:
    """Does something that all ranks do together.

    Raises:
        UserError: if another rank has ended.
    """
    try:
        collective(*arguments)
    except RuntimeError as error:
        raise UserError(LEFT) from error

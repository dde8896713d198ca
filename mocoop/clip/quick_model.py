"""What makes a CLIP from a file quicker: no random start, and no second reading of the words."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from open_clip import SimpleTokenizer, tokenizer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILL = {
    Tensor.normal_,
    Tensor.uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
    nn.init.xavier_normal_,
    nn.init.xavier_uniform_,
}
_MAKE = {torch.randn, torch.rand}


class WeightsFollow(TorchFunctionMode):
    """Makes a model whose weights are all read from a file afterwards, without random numbers.

    Memory that would be filled with random numbers stays as it is, but for one NaN in front: a
    weight that does not follow is noticed. It holds for one thread.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Calls torch's function, but for those of random numbers."""
        kwargs = kwargs or {}
        if func in _FILL:
            tensor: Tensor = args[0] if args else kwargs["tensor"]
            if tensor.numel():
                tensor.detach()[(0,) * tensor.ndim] = torch.nan
            return tensor
        if func in _MAKE:
            return torch.full_like(torch.empty(*args, **kwargs), torch.nan)
        return func(*args, **kwargs)


def unset_weights(model: nn.Module) -> list[str]:
    """Returns the names of weights that were made with `WeightsFollow` and did not follow."""
    return [n for n, value in model.state_dict().items() if value.reshape(-1)[:1].isnan().any()]


def usual_tokenizer(context_length: int) -> SimpleTokenizer:
    """Returns CLIP's own tokenizer; the one that open_clip has made already gives its words.

    Args:
        context_length: number of tokens of a text.
    """
    made = getattr(tokenizer, "_tokenizer", None)
    if made is None or type(made) is not SimpleTokenizer:
        return SimpleTokenizer(context_length=context_length)
    own = copy.copy(made)
    own.cache = dict(made.cache)
    own.context_length = context_length
    return own

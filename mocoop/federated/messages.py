"""Parameters as bytes that travel between machines: safetensors, which runs no code when read."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load, save

from mocoop.errors import UserError
from mocoop.federated.server import State

MOST_BYTES = 2**28
"""The largest message that is read; prompts of CLIP have less than a thousandth of it."""


def to_bytes(state: State) -> bytes:
    """Returns parameters as the bytes of a safetensors file."""
    return save({name: value.contiguous() for name, value in state.items()})


def from_bytes(content: bytes) -> State:
    """Returns the parameters that `to_bytes` wrote, to the same bits.

    Raises:
        UserError: if the bytes are something else, or too many.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"a message has {len(content):,} bytes; at most {MOST_BYTES:,} are read")
    try:
        state: State = load(content)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"a message holds no parameters ({error})") from error
    return state

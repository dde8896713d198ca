"""Lets a bounded number of requests of a bounded size into a service (ASGI middleware)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEGABYTE = 2**20
ENVELOPE = 16 * 1024  # bytes that a form adds to its file


@dataclass(frozen=True)
class Limits:
    """What a service takes at once."""

    megabytes: float = 10.0
    """Largest file of a picture."""
    at_once: int = 64
    """Requests that are read or answered at once; further ones are asked to come again."""
    seconds: float = 30.0
    """Time in which a request must have arrived."""

    @property
    def bytes(self) -> int:
        """Largest body of a request, in bytes."""
        return int(self.megabytes * MEGABYTE) + ENVELOPE


@dataclass
class Gate:
    """Refuses requests with a body that are too large, too slow, or too many at once."""

    app: ASGIApp
    limits: Limits
    inside: int = field(default=0, init=False)
    """Requests that are read or answered now."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers why it is refused."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        self.inside += 1
        try:
            await self.app(scope, self._bounded(receive), send)
        finally:
            self.inside -= 1

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """Returns the answer to a request that is not even read; None if it may be read."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.limits.bytes:
            # Its body is not read, so the connection cannot be used again.
            return JSONResponse({"error": self._too_large()}, 413, {"Connection": "close"})
        if self.inside >= self.limits.at_once:
            busy = f"{self.limits.at_once} pictures are being answered already. Try again soon."
            return JSONResponse({"error": busy}, 503, {"Retry-After": "1"})
        return None

    def _bounded(self, receive: Receive) -> Receive:
        """Returns `receive`, which then refuses bodies that are too large or come too slowly.

        A length need not be announced, and an announced length need not be true.
        """
        until = asyncio.get_running_loop().time() + self.limits.seconds
        size, complete = 0, False

        async def bounded() -> Message:
            nonlocal size, complete
            if complete:  # only the end of the connection can still come
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as error:
                late = f"The picture did not arrive within {self.limits.seconds:g} seconds."
                raise HTTPException(
                    408, f"{late} Send it again.", {"Connection": "close"}
                ) from error
            size += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if size > self.limits.bytes:
                raise HTTPException(413, self._too_large(), {"Connection": "close"})
            return message

        return bounded

    def _too_large(self) -> str:
        return (
            f"The picture's file is too large: at most {self.limits.megabytes:g} MB. Make it "
            "smaller first."
        )

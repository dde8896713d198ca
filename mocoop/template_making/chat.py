"""Asks a chat model over the OpenAI protocol: hosted, ollama, llama.cpp's server, vLLM.

It needs the package of `pip install "mocoop[templates]"`. The key comes from the environment, is
sent to the endpoint, and is neither logged nor stored.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import openai

from mocoop.errors import UserError
from mocoop.template_making.answers import LONGEST
from mocoop.template_making.calls import Reply
from mocoop.template_making.endpoint import KEYS, key_in_use

NO_KEY = "none"  # what a server without keys is sent
ATTEMPTS = 4
LONGEST_WAIT = 90.0  # seconds that an endpoint may ask to wait before the next attempt
CONNECT = 10.0  # seconds to reach the endpoint
TEMPERATURE = 0.8
_OPTIONAL = ("seed", "temperature")  # settings that some endpoints refuse


class ChatModel:
    """A chat model behind an endpoint.

    Args:
        model: its name there.
        url: the endpoint's address, such as http://localhost:11434/v1; "" for OPENAI_BASE_URL
            or OpenAI's own.
        seconds: how long one answer may take.
        sleep: waits; tests pass their own.
    """

    def __init__(
        self,
        model: str,
        url: str = "",
        seconds: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model = model
        self._key = os.environ.get(key_in_use(), NO_KEY).strip()  # of a file's last line break
        self._seconds = seconds
        self._sleep = sleep
        self._left_out: set[str] = set()
        timeout = openai.Timeout(seconds, connect=min(CONNECT, seconds))
        self._client = openai.OpenAI(
            api_key=self._key, base_url=url or None, timeout=timeout, max_retries=0
        )
        self.url = shown_address(str(self._client.base_url))
        transport = _transport()
        self._broken: tuple[type[Exception], ...] = (transport.HTTPError, transport.StreamError)
        self._late: type[Exception] = transport.TimeoutException

    def ask(self, system: str, prompt: str, seed: int) -> Reply:
        """Returns the model's answer.

        An endpoint that is busy (429, 5xx) is asked again, after the time that it names.

        Raises:
            UserError: if the endpoint cannot be reached, refuses, or takes too long.
        """
        for attempt in range(ATTEMPTS + len(_OPTIONAL)):
            settings = {"temperature": TEMPERATURE, "seed": seed}
            settings = {k: v for k, v in settings.items() if k not in self._left_out}
            try:
                return self._stream(system, prompt, settings)
            except openai.APITimeoutError as error:
                raise self._too_slow() from error
            except openai.APIConnectionError as error:
                raise UserError(
                    f"No chat model answers at {self.url}. Start the server, or check the "
                    "address: it usually ends in /v1."
                ) from error
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not self._leave_out(str(error)):
                    raise self._refused(error) from error
            except openai.APIStatusError as error:
                if attempt >= ATTEMPTS - 1 or not _is_passing(error):
                    raise self._refused(error) from error
                self._sleep(self._wait(error, attempt))
            except openai.APIError as error:  # an error inside of a stream
                raise UserError(
                    f"{self.url} stopped with an error: {self._said(error)}."
                ) from error
            except (ValueError, AttributeError, TypeError) as error:
                if isinstance(error, UserError):
                    raise
                raise self._foreign() from error
        raise UserError(f"{self.url} stays busy after {ATTEMPTS} attempts. Try again later.")

    def _stream(self, system: str, prompt: str, settings: Mapping[str, Any]) -> Reply:
        """Returns an answer that is read piece by piece, up to `LONGEST` characters."""
        messages: Any = [
            {"role": "system", "content": system},
            {"role": "user", "content": prompt},
        ]
        end = time.monotonic() + self._seconds
        create: Any = self._client.chat.completions.create
        text, ended, chunks = "", "", 0
        with create(model=self.model, messages=messages, stream=True, **settings) as stream:
            for chunk in self._unbroken(stream):
                chunks += 1
                for choice in (chunk.choices or ())[:1]:
                    delta = choice.delta
                    text += (
                        (delta.content or getattr(delta, "refusal", None) or "") if delta else ""
                    )
                    ended = choice.finish_reason or ended
                if time.monotonic() > end:
                    raise self._too_slow()
                if len(text) > LONGEST:
                    ended = "too long"
                    break
        if not chunks:  # a server that does not stream
            answer = create(model=self.model, messages=messages, **settings)
            if not getattr(answer, "choices", None):
                raise self._foreign()
            message, ended = answer.choices[0].message, answer.choices[0].finish_reason or ""
            text = message.content or getattr(message, "refusal", None) or ""
        return Reply(self._without_key(text[:LONGEST]), ended, dict(settings))

    def _unbroken(self, stream: Iterable[Any]) -> Iterator[Any]:
        """Yields the pieces of an answer; raises UserError if the connection breaks off."""
        broken: tuple[type[Exception], ...] = (openai.APIConnectionError, *self._broken)
        try:
            yield from stream
        except broken as error:
            if isinstance(error, (openai.APITimeoutError, self._late)):
                raise self._too_slow() from error
            raise UserError(
                f"The connection to {self.url} broke off during an answer. Try again."
            ) from error

    def _leave_out(self, said: str) -> bool:
        """Returns whether a setting that the endpoint complains about was there to leave out."""
        named = {name for name in _OPTIONAL if name in said} - self._left_out
        self._left_out |= named
        return bool(named)

    def _wait(self, error: openai.APIStatusError, attempt: int) -> float:
        """Returns the seconds until the next attempt: those of Retry-After, or 1, 2, 4.

        Raises:
            UserError: if the endpoint asks to wait for too long.
        """
        seconds = _retry_after(error.response.headers.get("retry-after", ""))
        if seconds is None:
            return float(2**attempt)
        if seconds > LONGEST_WAIT:
            raise UserError(
                f"{self.url} asks to wait for {seconds:.0f} seconds (too many requests). Try "
                "again then, or use another model."
            ) from error
        return seconds

    def _refused(self, error: openai.APIStatusError) -> UserError:
        """Returns the error for an answer with a status such as 401 or 404."""
        status = error.status_code
        if status in (401, 403):
            given = "without a key" if self._key == NO_KEY else "with this key"
            return UserError(
                f"{self.url} does not let you in {given} ({status}). Set the variable {KEYS[0]} "
                f"or {KEYS[1]} to a key that is valid there."
            )
        if status == 404:
            return UserError(
                f"{self.url} has no model {self.model!r}, or is no chat endpoint (404). Check "
                "the model's name and the address, which usually ends in /v1."
            )
        if status == 429:
            return UserError(
                f"{self.url} refuses more requests (429): {self._said(error)}. Try again later, "
                "or check the account."
            )
        return UserError(f"{self.url} refuses the request ({status}): {self._said(error)}.")

    def _too_slow(self) -> UserError:
        return UserError(
            f"{self.model!r} at {self.url} took longer than {self._seconds:g} seconds for an "
            "answer. Choose a faster model, or allow more time (--seconds)."
        )

    def _foreign(self) -> UserError:
        return UserError(
            f"{self.url} answers, but not in the protocol of OpenAI's chat models. Check the "
            "address: it usually ends in /v1."
        )

    def _said(self, error: openai.APIError) -> str:
        """Returns an endpoint's message on one short line, without the key."""
        line = " ".join(error.message.split())
        printable = "".join(letter for letter in line if letter.isprintable())
        return self._without_key(printable)[:200].rstrip(".")

    def _without_key(self, text: str) -> str:
        return text if self._key == NO_KEY else text.replace(self._key, "[key]")


def _transport() -> Any:
    """Returns the package whose errors pass through while an answer streams: httpx or httpx2."""
    kinds = openai.DefaultHttpxClient.__mro__
    names = (kind.__module__.partition(".")[0] for kind in kinds)
    return sys.modules[next(name for name in names if name.startswith("httpx"))]


def shown_address(url: str) -> str:
    """Returns an address as it is shown and stored: without user, password, query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _is_passing(error: openai.APIStatusError) -> bool:
    """Returns whether the endpoint may answer a little later."""
    spent = "insufficient_quota" in (str(error.code), str(error.type))
    return not spent and (error.status_code in (408, 409, 429) or error.status_code >= 500)


def _retry_after(value: str) -> float | None:
    """Returns the seconds that a Retry-After header names, as a number or a date; None without."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())

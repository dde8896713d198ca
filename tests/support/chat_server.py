"""A small chat model on this machine, of OpenAI's protocol, that misbehaves on request."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

TEMPLATES = {
    "medium": ["a sketch of a {}.", "a painting of a {}.", "a cartoon of the {}."],
    "quality": ["a blurry photo of a {}.", "a dark photo of a {}.", "a pixelated photo of a {}."],
    "viewpoint": ["a close-up photo of a {}.", "an aerial photo of a {}."],
    "number": ["a photo of many {}.", "a photo of two {}."],
    "context": ["a photo of a {} in the snow.", "a photo of a {} indoors."],
    "state": ["a photo of a dirty {}.", "a photo of a broken {}."],
    "domain": ["a photo of a {}, a type of thing."],
}


@dataclass(frozen=True)
class Behaviour:
    """What the server does with one request; by default it streams `text`."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    """A body that is sent as it is, whatever was asked for."""
    kind: str = "application/json"
    ended: str = "stop"
    refusal: bool = False
    streams: bool = True
    wait: float = 0.0
    """Seconds before each piece of the answer."""
    breaks: bool = False
    """Whether the connection ends in the middle."""


def factor_in(prompt: str) -> str:
    """Returns the factor that a prompt asks about."""
    return prompt.partition('"factor": "')[2].partition('"')[0]


def good_answer(prompt: str) -> str:
    """Returns what a model answers that follows the instructions."""
    factor = factor_in(prompt)
    return json.dumps([{"template": text, "factor": factor} for text in TEMPLATES[factor]])


class Chat(http.server.BaseHTTPRequestHandler):
    """Does what `script` says, one behaviour per request, then answers well."""

    script: list[Behaviour]
    asked: list[dict[str, Any]]
    """The requests, with their `authorization`."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body | {"authorization": self.headers.get("Authorization", "")})
        prompt = body["messages"][-1]["content"]
        done = self.script.pop(0) if self.script else Behaviour(good_answer(prompt))
        with suppress(ConnectionError):  # the client has given up
            if done.body is not None or done.status != 200:
                self._whole(done, done.body or json.dumps({"error": {"message": done.text}}))
            elif not body.get("stream") or not done.streams:
                self._plain(done, bool(body.get("stream")))
            else:
                self._stream(done)

    def _whole(self, done: Behaviour, text: str) -> None:
        self.send_response(done.status)
        self.send_header("Content-Type", done.kind)
        for name, value in done.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _plain(self, done: Behaviour, streaming: bool) -> None:
        """Answers as a server does that does not know how to stream."""
        if streaming:
            self.script.insert(0, done)
        message = {"role": "assistant", "content": done.text}
        choice = {"index": 0, "message": message, "finish_reason": done.ended}
        self._whole(done, json.dumps(_chunk("chat.completion", [choice])))

    def _stream(self, done: Behaviour) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        if done.breaks:
            self.send_header("Content-Length", "1000000")
        self.end_headers()
        key = "refusal" if done.refusal else "content"
        size = max(1, len(done.text) // 3)
        for start in range(0, len(done.text), size):
            time.sleep(done.wait)
            self._event({key: done.text[start : start + size]}, None)
            if done.breaks:
                return
        self._event({}, done.ended)
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, delta: dict[str, str], ended: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": ended}
        event = _chunk("chat.completion.chunk", [choice])
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *arguments: object) -> None:
        pass


def _chunk(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "1", "object": kind, "created": 0, "model": "stand-in", "choices": choices}


@contextmanager
def running_chat() -> Iterator[tuple[type[Chat], str]]:
    """Yields the server's class, whose fields tests change, and the address of its endpoint."""
    chat = type("C", (Chat,), {"script": [], "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), chat)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield chat, f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()

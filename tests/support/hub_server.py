"""A small hub on this machine, of the form that the hub's client expects."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.request import urlopen

import pytest

NAME = "ViT-B-16-quickgelu/openai"
REPOSITORY = "timm/vit_base_patch16_clip_224.openai"
SAFE, PICKLE = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HALF = 11 << 20  # more than the hub's client reads at once


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves `files` by path; sends the second half of a file only once `open_gate` is set."""

    files: dict[str, bytes]
    open_gate: threading.Event
    status: list[int]
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.asked.append(f"{self.command} {self.path}")
        content = self.files.get(self.path)
        if self.status or content is None:
            self.send_response(self.status[0] if self.status else 404)
            if not self.status and self.path != "/":
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not body:
            return
        with suppress(ConnectionError):  # the download was stopped
            self.wfile.write(content[:HALF])
            self.wfile.flush()
            self.open_gate.wait(60)
            self.wfile.write(content[HALF:])

    def log_message(self, *arguments: object) -> None:
        pass


def path_of(name: str) -> str:
    return f"/{REPOSITORY}/resolve/main/{name}"


@contextmanager
def running_hub() -> Iterator[tuple[type[Hub], str]]:
    """Yields the hub's class, whose fields tests change, and its address."""
    gate = threading.Event()
    gate.set()
    files = {path_of(SAFE): bytes(range(256)) * (2 * HALF // 256)}
    hub = type("H", (Hub,), {"files": files, "open_gate": gate, "status": [], "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        gate.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty folder in the place of the hub's cache, and one in the place of ours."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "hub"


@pytest.fixture
def hub_server(hub_cache, monkeypatch):
    """A hub with the weights of `NAME`, in the place of the real one."""
    with running_hub() as (hub, address):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("mocoop.clip.hub.urlopen", urlopen)
        yield hub

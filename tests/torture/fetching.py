"""Victims that download, from a slow server on this machine: a CLIP, and a data set."""

from __future__ import annotations

import hashlib
import http.server
import io
import multiprocessing
import random
import tarfile
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.request import urlopen

import huggingface_hub.constants as hub_constants
from PIL import Image

from mocoop.catalog.download import download as download_set
from mocoop.catalog.sources import SOURCES, Remote, Source
from mocoop.clip import hub
from mocoop.clip.hub import HubWeights, cached_file
from mocoop.clip.hub import download as download_clip
from tests.torture.victim import Victim
from tests.torture.world import World, file_differences

REPOSITORY, FILE = "owner/clip", "open_clip_model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CLIP_PATH, SET_PATH = f"/{REPOSITORY}/resolve/main/{FILE}", "/dtd.tar.gz"
PIECE, PAUSE = 256 << 10, 0.02  # bytes that are sent at once, and seconds after them
SIZE = 12 << 20


def _archive() -> bytes:
    """Returns an archive in the layout of DTD, with many small pictures."""
    dice, buffer = random.Random(0), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(600):
            picture = io.BytesIO()
            Image.new("RGB", (32, 32), (number % 256, 80, 120)).save(picture, "PNG")
            content = picture.getvalue() + dice.randbytes(8000)
            name = f"dtd/images/{('banded', 'dotted')[number % 2]}/{number}.png"
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class _Slow(http.server.BaseHTTPRequestHandler):
    """Sends files, whole or from a byte on, in small pieces."""

    files: dict[str, bytes]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        content = self.files.get(self.path, b"")
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        found = self.path in self.files or self.path == "/"
        self.send_response(404 if not found else 206 if start else 200)
        if not found:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        with suppress(ConnectionError):  # whoever asked was killed
            for at in range(start, len(content), PIECE) if body else ():
                self.wfile.write(content[at : at + PIECE])
                time.sleep(PAUSE)

    def log_message(self, *arguments: object) -> None:
        pass


def _serve(files: dict[str, bytes], tell: Connection) -> None:
    handler = type("H", (_Slow,), {"files": files})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    tell.send(server.server_port)
    server.serve_forever()


class _Download(Victim):
    """A victim with a server of its own, which runs in another process and is not killed."""

    def __init__(self, root: Path, cache: Path) -> None:
        super().__init__(root, cache)
        mine, theirs = multiprocessing.Pipe()
        self.files = self.served()
        self.server = multiprocessing.get_context("fork").Process(
            target=_serve, args=(self.files, theirs), daemon=True
        )
        self.server.start()
        self.address = f"http://127.0.0.1:{mine.recv()}"

    def served(self) -> dict[str, bytes]:
        """Returns the files of the server by path."""
        raise NotImplementedError

    def close(self) -> None:
        self.server.kill()


class ClipDownload(_Download):
    """The download of a CLIP from the hub."""

    name = "download of a CLIP"

    def served(self) -> dict[str, bytes]:
        return {CLIP_PATH: random.Random(1).randbytes(SIZE)}

    def work(self, world: World) -> object:
        hub_constants.ENDPOINT, hub_constants.HF_HUB_OFFLINE = self.address, False
        template = f"{self.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        hub_constants.HUGGINGFACE_CO_URL_TEMPLATE = template
        hub_constants.HF_HUB_CACHE = str(world.root / "hub")
        hub.urlopen = urlopen
        download_clip(HubWeights(REPOSITORY, (FILE,)), lambda *_: None)
        return 0

    def where(self, world: World) -> str:
        parts = [path.stat().st_size for path in (world.root / "hub").rglob("*.incomplete")]
        return f"with {max(parts) >> 20} of {SIZE >> 20} MB" if parts else "without a part"

    def half(self, world: World) -> list[str]:
        hub_constants.HF_HUB_CACHE = str(world.root / "hub")
        found = cached_file(HubWeights(REPOSITORY, (FILE,)))
        whole = found is None or found.read_bytes() == self.files[CLIP_PATH]
        return [] if whole else ["half a file counts as a CLIP"]

    def differences(self, world: World, reference: World) -> list[str]:
        hub_constants.HF_HUB_CACHE = str(world.root / "hub")
        there = cached_file(HubWeights(REPOSITORY, (FILE,))) is not None
        return self.half(world) if there else ["the CLIP is not found"]


class SetDownload(_Download):
    """`mocoop data download`: fetched, checked, extracted."""

    name = "download of a data set"

    def served(self) -> dict[str, bytes]:
        return {SET_PATH: _archive()}

    def work(self, world: World) -> object:
        md5 = hashlib.md5(self.files[SET_PATH]).hexdigest()
        remote = Remote(f"{self.address}{SET_PATH}", "dtd/images", "dtd/images", md5)
        SOURCES["dtd"] = Source(self.address, "For nothing but this.", (remote,))
        download_set("dtd", world.data)
        return 0

    def where(self, world: World) -> str:
        if (world.data / "dtd" / "images").exists():
            return "after the set"
        if list((world.data / ".downloads").glob("*.extracted*")):
            return "while it was extracted"
        return "while it was fetched"

    def half(self, world: World) -> list[str]:
        there = (world.data / "dtd" / "images").exists()
        return file_differences(world.data / "dtd", self.reference.data / "dtd") if there else []

    def differences(self, world: World, reference: World) -> list[str]:
        return file_differences(world.data, reference.data)

"""Half a hundred files that are not what they seem: a sentence each, and the page goes on."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from app.bench.opening import LONGEST_NAME
from app.common import state
from app.common.words import escape_markdown
from app.routing.upload_view import MAX_FILES, read_picture, shown_name
from mocoop.errors import UserError
from tests.support.page_fixtures import open_page

PAGE, TRY, FILES = "pages/routing.py", "Try a picture", "My files"


def saved(kind: str, size=(60, 40), mode="RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    noise = random.Random(1).randbytes(size[0] * size[1] * len(Image.new(mode, (1, 1)).getbands()))
    Image.frombytes(mode, size, noise).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def zipped(body: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(body, 9))


def exif(size: int) -> bytes:
    """Returns EXIF data of many bytes, with an orientation that does not exist."""
    tags = struct.pack("<HHIHH", 0x0112, 3, 1, 99, 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + tags + b"\0" * size


END = chunk(b"IEND", b"")
GOOD_PNG, GOOD_JPEG = saved("PNG"), saved("JPEG")
FRAMES = [Image.new("P", (60, 40), number) for number in range(50)]
TEXTS = {
    "empty.png": b"",
    "a-byte.png": b"\x89",
    "spaces.png": b" " * 4096,
    "zeros.bmp": b"\0" * 4096,
    "notes.jpg": "Käse".encode("utf-16"),
    "page.png": b"<!doctype html><script>alert(1)</script>",
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "drawing.png": b"<?xml version='1.0'?><svg width='9999999' height='9999999'/>",
    "laughs.svg": b"<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><svg>&b;</svg>",
    "archive.png": b"PK\x03\x04" + b"\0" * 200,
    "squeezed.png": zlib.compress(b"\0" * 10**6),
    "paper.png": b"%PDF-1.7\n%%EOF",
    "program.png": b"\x7fELF" + b"\0" * 300,
    "script.jpg": b"#!/bin/sh\nrm -rf /\n",
    "film.png": b"\0\0\0\x18ftypmp42" + b"\0" * 100,
    "print.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\nshowpage\n",
    "print.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id)(w)file\n",
    "layers.psd": b"8BPS\0\x01" + b"\0" * 100,
    "pickle.png": b"\x80\x04cos\nsystem\n(S'id'\ntR.",
    "weights.png": struct.pack("<Q", 2) + b"{}",
    "noise.jpg": random.Random(3).randbytes(5000),
    "soi.jpg": b"\xff\xd8\xff",
    "sos.jpg": b"\xff\xd8\xff\xda" + b"\0" * 50,
}
DAMAGED = {
    "cut-half.png": GOOD_PNG[: len(GOOD_PNG) // 2],
    "cut-header.png": GOOD_PNG[:20],
    "cut.jpg": GOOD_JPEG[:300],
    "cut.gif": saved("GIF", mode="P")[:60],
    "cut.bmp": saved("BMP")[:90],
    "cut.tif": saved("TIFF")[:200],
    "cut.webp": saved("WEBP")[:80],
    "cut.ppm": saved("PPM")[:40],
    "no-data.png": png(header(50, 50), END),
    "short-data.png": png(header(50, 50), zipped(b"\0" * 10), END),
    "bad-zip.png": png(header(50, 50), chunk(b"IDAT", b"not zipped"), END),
    "bad-sum.png": GOOD_PNG[:40] + b"XXXX" + GOOD_PNG[44:],
    "no-size.png": png(header(0, 0), zipped(b""), END),
    "odd-depth.png": png(header(5, 5, depth=7), zipped(b"\0" * 90), END),
    "odd-colour.png": png(header(5, 5, colour=5), zipped(b"\0" * 90), END),
    "large-chunk.png": png(header(5, 5), struct.pack(">I", 2**31 - 1) + b"IDAT"),
    "bomb.png": png(header(60_000, 60_000), zipped(b"\0" * 10**6), END),
    "wide-bomb.png": png(header(2**31 - 1, 1), zipped(b"\0" * 100), END),
    "just-a-bomb.png": png(header(10_000, 10_000), zipped(b"\0" * 10**6), END),
    "bomb.gif": b"GIF89a\xff\xff\xff\xff\xf0\0\0" + b"\0" * 6 + b",\0\0\0\0\xff\xff\xff\xff\0",
    "bomb.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, 50_000, 50_000, 1, 24,
                                   0, 0, 0, 0, 0, 0),
    "minus.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, -5, 5, 1, 24,
                                    0, 0, 0, 0, 0, 0),
    "loop.tif": b"II*\0\x08\0\0\0" + struct.pack("<H", 0) + struct.pack("<I", 8),
    "text-bomb.png": png(
        header(5, 5), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 10**8, 9)), END
    ),
}  # fmt: skip
FINE = {
    "exif.jpg": saved("JPEG", exif=exif(60_000)),
    "frames.gif": saved(
        "GIF", mode="P", save_all=True, append_images=[Image.new("P", (60, 40))] * 50
    ),
    "<img src=x onerror=alert(1)>.png": GOOD_PNG,
    "![x](http://example.org/x.png).png": GOOD_PNG,
    "../../../etc/passwd": GOOD_PNG,
    "a" * 3000 + ".png": GOOD_PNG,
    "\u202egnp.exe": GOOD_PNG,
}


def test_there_are_half_a_hundred():
    assert len(TEXTS | DAMAGED | FINE) >= 50


@pytest.fixture
def try_files(one_run, tmp_path, monkeypatch) -> Callable:
    """A function that uploads files to the page; nothing of them may stay in a folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    app = open_page(PAGE, run=one_run.name, view=TRY, source=FILES)

    def upload(files: dict[str, bytes]):
        given = [(name, content, "image/png") for name, content in files.items()]
        app.get("file_uploader")[0].set_value(given).run()
        assert not app.exception
        assert not app.error
        assert list(folder.iterdir()) == []
        return app

    return upload


def test_each_gets_a_sentence_and_the_page_goes_on(try_files):
    bad = list((TEXTS | DAMAGED).items())
    for start in range(0, len(bad), MAX_FILES - 1):
        part = dict(bad[start : start + MAX_FILES - 1])
        app = try_files(part | {"good.png": GOOD_PNG})
        said = [warning.value for warning in app.warning]
        assert len(said) == len(part)
        for name, text in zip(part, said, strict=True):
            assert text.startswith(escape_markdown(name))
            assert text.endswith(".")
            assert "Traceback" not in text
        assert "good.png" in [caption.value for caption in app.caption]


def test_odd_but_sound_pictures_are_shown_under_harmless_names(try_files):
    app = try_files(FINE)
    assert not app.warning
    options = app.selectbox(key=state.CHANGED).options
    assert len(options) == len(FINE)
    assert max(map(len, options)) <= LONGEST_NAME + 4
    captions = " ".join(caption.value for caption in app.caption)
    assert "<img" not in captions.replace("\\<img", "")
    assert "!\\[x\\]\\(http" in captions
    assert "\u202e" not in captions


def test_a_hundred_at_once(try_files):
    app = try_files({f"{number}.png": GOOD_PNG for number in range(100)})
    warning = f"You uploaded 100 files. Only the first {MAX_FILES} are shown."
    assert warning in [shown.value for shown in app.warning]


def test_formats_of_other_programs_are_refused():
    with pytest.raises(UserError, match="this file is not a readable image"):
        read_picture(saved("EPS"), "print.eps")
    assert shown_name("a\nb\x00.png") == "ab.png"

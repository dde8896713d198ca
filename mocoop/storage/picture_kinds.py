"""Recognises picture files by their first bytes, whatever their names end in."""

from __future__ import annotations

from pathlib import Path

HEAD = 32  # bytes that are enough to recognise a picture
NO_PICTURE = "not a picture that MoCoOp reads"
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm",
    ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif",
)  # fmt: skip
"""Usual endings of pictures: such files count as pictures without being opened."""
_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1",
                b"msf1")  # fmt: skip
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes in bytes


def kind_of(head: bytes) -> str | None:
    """Returns the picture format that a file's first 32 bytes show; None if they show none."""
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        # A brand that both formats use is decided by the list of compatible brands after it.
        if b"avif" in head[8:] or b"avis" in head[8:]:
            return "AVIF"
        return "HEIF" if head[8:12] in _HEIF_BRANDS else None
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    number = (
        head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in (b" ", b"\n", b"\r", b"\t")
    )
    return "PPM" if number and head[3:4] in b"#0123456789" and len(head) > 3 else None


def is_picture(path: Path) -> bool:
    """Returns whether a file is a picture: by its usual ending, else by its first bytes.

    A file with a picture's ending counts even if it is damaged: whoever opens it reports it.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return kind_of(file.read(HEAD)) is not None
    except OSError:
        return False

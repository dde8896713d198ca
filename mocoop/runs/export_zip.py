"""Exports a run as one zip file for another machine; `mocoop.runs.import_zip` reads it.

NAME/archive.json     format, name, version, size and SHA-256 of every other file
NAME/README.md        the model card
NAME/config.json ...  the files of the run's folder (`mocoop.runs.run`)
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mocoop import __version__
from mocoop.runs.formats import FORMAT
from mocoop.runs.model_card import model_card
from mocoop.runs.run import Run
from mocoop.runs.status import FINISHED, STATUS_FILE, Status, read_values, status_values
from mocoop.runs.validate import check_run
from mocoop.storage.atomic import atomic_write

ARCHIVE_FORMAT = 1  # increase it when an old reader would misread a new archive
MANIFEST, CARD = "archive.json", "README.md"
KNOWN = re.compile(
    r"(config|status|results|archive|transfer-[\w .()+-]+)\.json|metrics\.jsonl|README\.md"
    r"|(weights|features)\.safetensors"
)
RUN_NAME = re.compile(r"\w[\w .()+-]{0,119}")
_TRANSFER = "transfer-"  # how the files with results on other data sets begin
_DATE = (1980, 1, 1, 0, 0, 0)  # the same date for all files: the same run gives the same bytes


def write_archive(run: Run, path: Path) -> None:
    """Writes a finished run as a zip file, atomically.

    Raises:
        UserError: for a run that is not finished, or damaged.
    """
    content = _content(run)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        _pack(run, content, file)


def archive_bytes(run: Run) -> bytes:
    """Returns the zip file that `write_archive` writes.

    Raises:
        UserError: for a run that is not finished, or damaged.
    """
    buffer = io.BytesIO()
    _pack(run, _content(run), buffer)
    return buffer.getvalue()


def archive_name(run: Run) -> str:
    """Returns the run's name without characters that some file systems do not allow."""
    return _safe(run.name).lstrip(" .()+-")[:120] or "run"


def _safe(name: str) -> str:
    """Returns a name without characters that some file systems do not allow."""
    return re.sub(r"[^\w .()+-]", "-", name)


def _content(run: Run) -> dict[str, bytes | Path]:
    """Returns the archive's files by name: the path of a file, or the bytes of a new one."""
    run.require_finished()
    check_run(run.path, f"Run {run.path}")
    files: dict[str, bytes | Path] = {
        entry: path for entry, path in _entries(run).items() if KNOWN.fullmatch(entry)
    }
    files[CARD] = model_card(run, archive_name(run)).encode()
    files["config.json"] = _json(without_folders(read_values(run.path, "config.json")))
    for entry, path in _entries(run).items():
        if entry in files and entry.startswith(_TRANSFER):
            files[entry] = _json(_without_source(read_values(run.path, path.name)))
    files[STATUS_FILE] = _json(status_values(without_process(run.status())))
    files.pop(MANIFEST, None)
    return files


def _entries(run: Run) -> dict[str, Path]:
    """Returns the archive's name of each file in a run's folder.

    A file with results on another data set bears the name of that set, which may have characters
    that not every system bears.
    """
    paths = [p for p in sorted(run.path.iterdir()) if p.is_file() and not p.is_symlink()]
    entries = {path.name: path for path in paths}
    for name in [name for name in entries if name.startswith(_TRANSFER) and _safe(name) != name]:
        entry = _safe(name)
        while entry in entries:
            entry = f"{entry.removesuffix('.json')}-.json"
        entries[entry] = entries.pop(name)
    return entries


def _pack(run: Run, content: Mapping[str, bytes | Path], file: BinaryIO | io.BytesIO) -> None:
    """Writes the zip file with the given content and its manifest."""
    name = archive_name(run)
    listed = {}
    with zipfile.ZipFile(file, "w") as archive:
        for entry, value in content.items():
            data = value.read_bytes() if isinstance(value, Path) else value
            listed[entry] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            _add(archive, f"{name}/{entry}", data)
        manifest = {
            "format": ARCHIVE_FORMAT,
            "name": name,
            "run_format": FORMAT,
            "mocoop": __version__,
            "files": listed,
        }
        _add(archive, f"{name}/{MANIFEST}", _json(manifest))


def _add(archive: zipfile.ZipFile, entry: str, data: bytes) -> None:
    info = zipfile.ZipInfo(entry, _DATE)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    # Compression hardly makes weights smaller, and decompressing them takes time.
    stored = entry.endswith(".safetensors")
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def without_process(status: Status) -> Status:
    """Returns the status of a finished run without the process that trained it."""
    return Status(
        FINISHED,
        epoch=status.epoch,
        epochs=status.epochs,
        started=status.started,
        updated=status.updated,
    )


def without_folders(values: dict[str, Any]) -> dict[str, Any]:
    """Returns config.json without the folder of the data: it is of no use on another machine."""
    data = values["config"].get("data", "")
    name = Path(data).name
    kept = "data" if name in ("", "..") or name.startswith("~") else name
    return values if kept == data else values | {"config": values["config"] | {"data": kept}}


def _without_source(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the results on another data set without its folder."""
    source = values.get("source", "")
    return values | {"source": Path(source).name} if Path(source).is_absolute() else values


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()

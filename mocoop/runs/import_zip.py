"""A run from another machine: unpacked from a zip that nobody vouches for, and checked.

Unpacking writes plain files of known names into a new folder and nothing anywhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from mocoop.errors import UserError
from mocoop.runs.export_zip import ARCHIVE_FORMAT, KNOWN, MANIFEST, RUN_NAME, without_process
from mocoop.runs.run import FORMAT, Run, default_runs
from mocoop.runs.status import STATUS_FILE, Status
from mocoop.runs.validate import check_run
from mocoop.storage.atomic import write_json

MAX_FILES = 64
MAX_BYTES = 2 * 1024**3  # of all files together, unpacked
MAX_TEXT_BYTES = 32 * 1024**2  # of a file that is parsed as text
_REQUIRED = ("config.json", STATUS_FILE, "metrics.jsonl", "results.json", "weights.safetensors")
_CHUNK = 1024**2


def read_archive(
    source: Path | BinaryIO, root: Path | None = None, name: str = "", asked_by: str = "--name"
) -> Run:
    """Returns the run that a zip file holds, unpacked and checked in a folder of its own.

    Nothing is left behind if anything does not fit.

    Args:
        source: the file, or an open one.
        root: folder of runs; `default_runs()` if None.
        name: the run's name here; the archive's own if empty.
        asked_by: where people give that name, for messages.

    Raises:
        UserError: for what is no archive of a run, is damaged, unsafe or too large, for another
            version's archive, and for a name that is taken.
    """
    root = root or default_runs()
    try:
        with zipfile.ZipFile(source) as archive, _workshop(root) as folder:
            entries = _entries(archive)
            manifest = _manifest(archive, entries)
            target = root / (_checked_name(name) if name else manifest["name"])
            _refuse_taken(target, asked_by)
            _unpack(archive, entries, manifest["files"], folder)
            status = check_run(folder, _called(source))
            _as_imported(folder, status)
            return _move(folder, target, asked_by)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"{_called(source)} is no whole zip file ({error}). Export the run again and copy it "
            "anew."
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"No file {str(source)!r}: expected an exported run (.zip).") from error
    except OSError as error:
        raise UserError(
            f"The run could not be read or written ({error.strerror or error}). Nothing was kept."
        ) from error


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Returns the archive's files by name without their folder.

    Raises:
        UserError: for anything but a few known, plain files in one folder.
    """
    infos = archive.infolist()
    if len(infos) > MAX_FILES:
        raise UserError(f"The archive has {len(infos)} entries; a run has at most {MAX_FILES}.")
    folders = {info.filename.partition("/")[0] for info in infos}
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        folder, _, name = info.filename.partition("/")
        if info.is_dir() and not name:
            continue  # the folder itself, which other programs list too
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
            raise _unsafe(info, "links, devices and encrypted entries are refused")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _unsafe(info, "it is packed in a way that exported runs are not")
        if not RUN_NAME.fullmatch(folder) or not name or "/" in name or "\\" in name:
            raise _unsafe(info, "a run's files lie in one folder, without any other path")
        if not KNOWN.fullmatch(name):
            raise _unsafe(info, "no run has a file of that name")
        if name in found:
            raise _unsafe(info, "it is there twice")
        if not name.endswith(".safetensors") and info.file_size > MAX_TEXT_BYTES:
            raise _unsafe(info, f"more than {MAX_TEXT_BYTES // 1024**2} MB of text")
        found[name] = info
    if sum(info.file_size for info in found.values()) > MAX_BYTES:
        raise UserError(
            f"The archive would unpack to more than {MAX_BYTES // 1024**3} GB. A run is smaller."
        )
    if len(folders) > 1:
        raise UserError(f"Expected one run in the archive; got {len(folders)} folders.")
    missing = [name for name in (MANIFEST, *_REQUIRED) if name not in found]
    if missing:
        raise UserError(
            f"This zip file is no exported run: it has no {', '.join(missing)}. Make one with "
            "`mocoop pack RUN` or on the app's page Compare."
        )
    return found


def _unsafe(info: zipfile.ZipInfo, why: str) -> UserError:
    return UserError(
        f"The archive's entry {info.filename[:80]!r} is refused: {why}. Nothing was unpacked."
    )


def _manifest(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    """Returns the archive's table of contents, checked against its entries."""
    try:
        values = json.loads(archive.read(entries[MANIFEST]))
        version = values["format"]
        if version == ARCHIVE_FORMAT:
            name, listed = _checked_name(values["name"]), dict(values["files"])
            run_format = values["run_format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"The archive's {MANIFEST} cannot be read ({error}). Export the run again."
        ) from error
    if version != ARCHIVE_FORMAT or run_format != FORMAT:
        raise UserError(
            f"The archive was made by mocoop {str(values.get('mocoop', 'unknown'))[:20]} in "
            f"format {str(version)[:20]}; this version reads format {ARCHIVE_FORMAT} with runs "
            f"of format {FORMAT}. Use the version that made it."
        )
    if set(listed) != set(entries) - {MANIFEST}:
        odd = sorted(set(listed) ^ (set(entries) - {MANIFEST}))
        raise UserError(
            f"The archive's files are not those that it lists ({', '.join(map(str, odd))[:200]}). "
            "Export the run again."
        )
    return {"name": name, "files": listed}


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not RUN_NAME.fullmatch(name):
        raise UserError(
            "A run's name starts with a letter or digit and has at most 120 letters, digits, "
            f"spaces and . ( ) + - _; got {str(name)[:60]!r}."
        )
    return name


def _refuse_taken(target: Path, asked_by: str) -> None:
    if target.exists():
        raise UserError(
            f"There is a run called {target.name!r} already. Give the imported one another name "
            f"({asked_by}), or delete the old one."
        )


@contextmanager
def _workshop(root: Path) -> Iterator[Path]:
    """Yields a new folder below the folder of runs that no list of runs looks into."""
    waiting = root / ".importing"
    waiting.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=waiting))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another import is at work
            waiting.rmdir()


def _unpack(
    archive: zipfile.ZipFile,
    entries: Mapping[str, zipfile.ZipInfo],
    listed: Mapping[str, Any],
    folder: Path,
) -> None:
    """Writes the listed files into a folder, each of the listed size and sum."""
    for name, expected in listed.items():
        digest, size = hashlib.sha256(), 0
        with archive.open(entries[name]) as source, (folder / name).open("wb") as file:
            while chunk := source.read(_CHUNK):
                size += len(chunk)
                digest.update(chunk)
                file.write(chunk)
        if not isinstance(expected, dict) or expected != {
            "bytes": size,
            "sha256": digest.hexdigest(),
        }:
            raise UserError(
                f"The archive's {name} is not what was exported: its size or checksum differs. "
                "Export the run again and copy it anew."
            )


def _as_imported(folder: Path, status: Status) -> None:
    """Makes the run one that no process of this machine trains."""
    write_json(folder / STATUS_FILE, asdict(without_process(status)))
    folder.chmod(0o755)


def _move(folder: Path, target: Path, asked_by: str) -> Run:
    _refuse_taken(target, asked_by)  # it may have come in the meantime
    os.rename(folder, target)
    return Run(target)


def _called(source: Path | BinaryIO) -> str:
    return str(source) if isinstance(source, Path) else "The uploaded file"

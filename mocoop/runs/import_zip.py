"""Imports a run from another machine: unpacks an untrusted zip file and checks the run.

Unpacking writes regular files with known names into a new folder, and nothing anywhere else.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mocoop.errors import PathError, UserError
from mocoop.runs.export_zip import (
    ARCHIVE_FORMAT,
    KNOWN,
    MANIFEST,
    RUN_NAME,
    without_folders,
    without_process,
)
from mocoop.runs.formats import FORMAT
from mocoop.runs.paths import check_not_reserved
from mocoop.runs.run import Run, default_runs
from mocoop.runs.schema import Listed, ManifestFile
from mocoop.runs.status import STATUS_FILE, Status, read_values, status_values
from mocoop.runs.validate import check_run
from mocoop.storage.archives import Limits, UntrustedZip, untrusted_zip
from mocoop.storage.atomic import write_json
from mocoop.storage.formats import check_format
from mocoop.storage.temporary_folder import folder_in
from mocoop.storage.typed_json import convert, decode

LIMITS = Limits(entries=64)
ADVICE = "Export the run again and copy it once more."
MAX_TEXT_BYTES = 32 * 1024**2  # largest size of a file that is parsed as text
IMPORTING = ".importing"  # lists of runs do not show what is in it
_REQUIRED = ("config.json", STATUS_FILE, "metrics.jsonl", "results.json", "weights.safetensors")


def read_archive(
    source: Path | BinaryIO, root: Path | None = None, name: str = "", asked_by: str = "--name"
) -> Run:
    """Returns the run in a zip file, unpacked into a new folder and checked.

    If a check fails, no file is left behind.

    Args:
        source: the path of the file, or an open file.
        root: folder of runs; `default_runs()` if None.
        name: the new name of the run; the name in the archive if empty.
        asked_by: the option or field for the name, for error messages.

    Raises:
        UserError: for a file that is not an exported run, is damaged, unsafe, too large or from
            another version, and for a name that is taken.
    """
    root = root or default_runs()
    called = _name_in_messages(source)
    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"No file {str(source)!r}: expected an exported run (.zip).")
    try:
        with folder_in(root / IMPORTING) as folder:
            with untrusted_zip(source, called, ADVICE, LIMITS) as archive:
                files = _files(archive)
                own, listed = _manifest(archive.read(files[MANIFEST]), files)
                target = root / (_checked_name(name) if name else own)
                check_not_reserved(target)
                _refuse_taken(target, asked_by)
                _unpack(archive, files, listed, folder)
            status = check_run(folder, called)
            _clear_process(folder, status)
            _forget_folders(folder)
            return _move(folder, target, asked_by)
    except OSError as error:
        raise UserError(
            f"The run could not be read or written ({error.strerror or error}). Nothing was "
            "imported."
        ) from error


def _files(archive: UntrustedZip) -> dict[str, PurePosixPath]:
    """Returns the paths of the archive's files by file name.

    Raises:
        UserError: for anything other than the known files of one run in one folder.
    """
    files: dict[str, PurePosixPath] = {}
    for path, info in archive.entries.items():
        if len(path.parts) != 2 or not RUN_NAME.fullmatch(path.parts[0]):
            raise _refused(path, "all files of a run must be in one folder, without subfolders")
        if not KNOWN.fullmatch(path.name):
            raise _refused(path, "a run has no file of that name")
        if path.name in files:
            raise _refused(path, "the archive has it twice")
        if path.suffix != ".safetensors" and info.file_size > MAX_TEXT_BYTES:
            raise _refused(path, f"it has more than {MAX_TEXT_BYTES // 1024**2} MB of text")
        files[path.name] = path
    folders = {path.parts[0] for path in archive.entries}
    if len(folders) > 1:
        raise UserError(f"Expected one run in the archive; got {len(folders)} folders.")
    missing = [name for name in (MANIFEST, *_REQUIRED) if name not in files]
    if missing:
        raise UserError(
            f"This zip file is not an exported run: it has no {', '.join(missing)}. Export a run "
            "with `mocoop pack RUN` or on the app's page Compare."
        )
    return files


def _refused(path: PurePosixPath, why: str) -> UserError:
    return UserError(
        f"The archive's entry {str(path)[:80]!r} is refused: {why}. Nothing was unpacked."
    )


def _manifest(content: bytes, files: Collection[str]) -> tuple[str, dict[str, Listed]]:
    """Returns the run's name and the listed files, checked against the archive's file names."""
    try:
        values = decode(content, dict[str, Any])
    except UserError as error:
        raise _unreadable(error) from error
    _check_formats(values)
    try:
        manifest = convert(values, ManifestFile)
    except UserError as error:
        raise _unreadable(error) from error
    name, listed = _checked_name(manifest.name), manifest.files
    if set(listed) != set(files) - {MANIFEST}:
        different = ", ".join(sorted(set(listed) ^ (set(files) - {MANIFEST})))
        raise UserError(
            f"The archive's files are not those that it lists ({different[:200]}). Export the "
            "run again."
        )
    return name, listed


def _check_formats(values: Mapping[str, Any]) -> None:
    """Raises UserError for an archive, or a run in it, of a format that this version lacks."""
    of_run = {**values, "format": values.get("run_format")}
    for described, newest, kind in (
        (values, ARCHIVE_FORMAT, "The archive"),
        (of_run, FORMAT, "The run in the archive"),
    ):
        try:
            check_format(described, newest, Path(MANIFEST))
        except PathError as error:
            raise UserError(f"{kind}{error.said}") from error


def _unreadable(error: UserError) -> UserError:
    return UserError(f"The archive's {MANIFEST} cannot be read ({error}). Export the run again.")


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
            f"There is a run called {target.name!r} already. Give the imported run another name "
            f"({asked_by}), or delete the old run."
        )


def _unpack(
    archive: UntrustedZip,
    files: Mapping[str, PurePosixPath],
    listed: Mapping[str, Listed],
    folder: Path,
) -> None:
    """Writes the listed files into a folder and checks their sizes and checksums."""
    left = LIMITS.unpacked
    for name, expected in listed.items():
        size, digest = archive.extract(files[name], folder / name, left)
        left -= size
        if (expected.bytes, expected.sha256) != (size, digest):
            raise UserError(
                f"The archive's {name} is not what was exported: its size or checksum differs. "
                + ADVICE
            )


def _clear_process(folder: Path, status: Status) -> None:
    """Removes from the run's status the process that trained it on the other machine."""
    write_json(folder / STATUS_FILE, status_values(without_process(status)))
    folder.chmod(0o755)


def _forget_folders(folder: Path) -> None:
    """Leaves only the name of the data in the run's settings.

    Archives of version 0.1 hold its whole path, and others can hold any: here it would lead to
    another folder, whose pictures the app would show.
    """
    values = read_values(folder, "config.json")
    kept = without_folders(values)
    if kept != values:
        write_json(folder / "config.json", kept)


def _move(folder: Path, target: Path, asked_by: str) -> Run:
    _refuse_taken(target, asked_by)  # another process may have made it in the meantime
    try:
        os.rename(folder, target)
    except OSError:
        _refuse_taken(target, asked_by)
        raise
    return Run(target)


def _name_in_messages(source: Path | BinaryIO) -> str:
    return str(source) if isinstance(source, Path) else "The uploaded file"

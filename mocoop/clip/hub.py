"""open_clip's weights on the hub: whether they are on this machine, and how to download them."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from filelock import FileLock, Timeout
from huggingface_hub import (
    constants,
    errors,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)

from mocoop.errors import UserError
from mocoop.storage.atomic import DISK_FULL, NOT_WRITABLE

TIMEOUT = 10.0  # seconds to wait for a first answer
LOOK_SECONDS = 0.5  # how often the size of a file that is being downloaded is looked up
USUAL_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

# Called with the bytes received and the bytes in total; 0 if the total is not known.
Progress = Callable[[int, int], None]


class HubOfflineError(UserError):
    """The hub does not answer."""


@dataclass(frozen=True)
class HubWeights:
    """Weights in a repository of the hub."""

    repository: str
    """Its name, `owner/name`."""
    files: tuple[str, ...]
    """Names of the file that holds the weights, in the order in which open_clip looks for them."""
    beside: tuple[str, ...] = ()
    """Small files, such as the configuration, that are downloaded too where they exist."""

    @property
    def page(self) -> str:
        """Address of the repository's page, which states its licence."""
        return f"{constants.ENDPOINT}/{self.repository}"

    @property
    def folder(self) -> Path:
        """The repository's folder in the hub's cache on this machine."""
        name = "--".join(["models", *self.repository.split("/")])
        return Path(constants.HF_HUB_CACHE) / name


def hub_weights(settings: Mapping[str, object]) -> HubWeights | None:
    """Returns where the hub has weights; None if it does not have them.

    Args:
        settings: open_clip's configuration of these weights.
    """
    repository, name = os.path.split(str(settings.get("hf_hub") or ""))
    if not repository:
        return None
    if not name:
        return HubWeights(repository, USUAL_FILES)
    safe = Path(name).with_suffix(".safetensors").name
    return HubWeights(repository, tuple(dict.fromkeys((safe, name))))


def cached_file(weights: HubWeights) -> Path | None:
    """Returns the complete file of weights on this machine; None if there is none."""
    for name in weights.files:
        with suppress(OSError, ValueError):
            path = try_to_load_from_cache(
                weights.repository, name, cache_dir=constants.HF_HUB_CACHE
            )
            if isinstance(path, str) and Path(path).is_file():
                return Path(path)
    return None


def check_available(settings: Mapping[str, object]) -> None:
    """Raises OSError if weights are not on this machine and the hub is off or does not answer.

    The hub's own client would try each of two files six times. Without a network this takes 45
    seconds, and several minutes if connections are not even refused.

    Args:
        settings: open_clip's configuration of these weights.
    """
    weights = hub_weights(settings)
    if weights is None or cached_file(weights) is not None:
        return
    if is_offline():
        raise OSError("HF_HUB_OFFLINE is set")
    _check_answer()


def is_offline() -> bool:
    """Returns whether the hub's client is set to work without a network (HF_HUB_OFFLINE)."""
    return bool(constants.HF_HUB_OFFLINE)


def download(weights: HubWeights, progress: Progress | None = None) -> Path:
    """Downloads weights into the hub's cache, and returns the path of the file.

    The file gets its name when it is complete, so a stopped download leaves no file that could be
    mistaken for weights.

    Args:
        weights: where they are.
        progress: called while bytes arrive.

    Raises:
        HubOfflineError: if the hub does not answer.
        UserError: if the hub does not have the weights, or they cannot be written.
    """
    if is_offline():
        raise HubOfflineError("The hub is switched off on this machine (HF_HUB_OFFLINE).")
    try:
        _check_answer()
        remove_leftovers(weights)
        for name in weights.beside:
            _download_if_there(weights, name, None)
        for name in weights.files:
            path = _download_if_there(weights, name, progress)
            if path is not None:
                return path
    except (URLError, TimeoutError, errors.LocalEntryNotFoundError) as error:
        raise _offline(error) from error
    except errors.HfHubHTTPError as error:
        raise _not_downloaded(weights, error) from error
    except errors.HTTPError as error:  # no answer, or one that broke off
        raise _offline(error) from error
    except OSError as error:
        raise _not_downloaded(weights, error) from error
    raise UserError(
        f"{weights.repository} has no file {' or '.join(weights.files)}. Choose another CLIP, or "
        "give a local file of its weights."
    )


def remove_leftovers(weights: HubWeights) -> None:
    """Removes the parts of files that killed processes have left; they would never be used.

    Files that a process is downloading now are kept: it holds the hub's lock of the file.
    """
    blobs = weights.folder / "blobs"
    locks = Path(constants.HF_HUB_CACHE) / ".locks" / weights.folder.name
    for part in blobs.glob("*.incomplete") if blobs.is_dir() else ():
        lock = locks / f"{part.name.partition('.')[0]}.lock"
        with suppress(OSError, Timeout):
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=0, mode=0o664):
                part.unlink(missing_ok=True)


def _check_answer() -> None:
    """Raises OSError if the hub does not answer."""
    try:
        with urlopen(constants.ENDPOINT, timeout=TIMEOUT):
            pass
    except HTTPError:
        pass  # the hub answers, and any answer is enough
    except URLError as error:
        if not isinstance(error.reason, ssl.SSLError):  # the client has its own certificates
            raise


def _download_if_there(weights: HubWeights, name: str, progress: Progress | None) -> Path | None:
    """Downloads one file and returns its path; None if the repository has no such file."""
    try:
        return _download_file(weights, name, progress)
    except errors.LocalEntryNotFoundError:
        raise  # the connection was lost
    except errors.EntryNotFoundError:
        return None


def _download_file(weights: HubWeights, name: str, progress: Progress | None) -> Path:
    """Downloads one file and returns its path; raises what the hub's client raises."""
    found = get_hf_file_metadata(hf_hub_url(weights.repository, name), timeout=TIMEOUT)
    with _watched(weights, found.etag or "", found.size or 0, progress):
        path = hf_hub_download(weights.repository, name, cache_dir=constants.HF_HUB_CACHE)
    return Path(path)


@contextmanager
def _watched(
    weights: HubWeights, etag: str, total: int, progress: Progress | None
) -> Iterator[None]:
    """Calls `progress` with the size of the part that has arrived while the block runs."""
    if progress is None:
        yield
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            progress(_received(weights, etag), total)

    progress(0, total)
    thread = threading.Thread(target=look, daemon=True, name="download progress")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _received(weights: HubWeights, etag: str) -> int:
    """Returns the bytes that have arrived of a file that is being downloaded."""
    sizes = [0]
    for part in (weights.folder / "blobs").glob(f"{etag}*.incomplete"):
        with suppress(OSError):  # the file has just got its name
            sizes.append(part.stat().st_size)
    return max(sizes)


def _offline(error: Exception) -> HubOfflineError:
    return HubOfflineError(f"{constants.ENDPOINT} does not answer: {_reason(error)}.")


def _not_downloaded(weights: HubWeights, error: OSError) -> UserError:
    cache = constants.HF_HUB_CACHE
    if error.errno in DISK_FULL:
        advice = f"Free some space in {cache}, or set HF_HOME to another folder"
    elif error.errno in NOT_WRITABLE:
        advice = f"Make {cache} writable, or set HF_HOME to another folder"
    else:
        advice = "Check the connection and the page of the weights"
    return UserError(
        f"{weights.repository} cannot be downloaded: {_reason(error)}. {advice}, and download it "
        "again."
    )


def _reason(error: Exception) -> str:
    """Returns the first line of an error's message, at most 200 characters long."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return str(reason).strip().partition("\n")[0][:200].rstrip(".") or type(error).__name__

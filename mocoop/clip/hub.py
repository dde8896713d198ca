"""A quick check whether open_clip's weights are on this machine or can be downloaded."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from huggingface_hub import constants, snapshot_download

TIMEOUT = 10.0  # seconds to wait for a first answer


def check_available(settings: Mapping[str, object]) -> None:
    """Raises OSError if weights are not on this machine and the hub does not answer.

    The hub's own client would try each of two files six times. Without a network this takes 45
    seconds, and several minutes if connections are not even refused.

    Args:
        settings: open_clip's configuration of these weights.
    """
    repository = os.path.dirname(str(settings.get("hf_hub") or ""))
    if not repository or _is_cached(repository):
        return
    try:
        with urlopen(constants.ENDPOINT, timeout=TIMEOUT):
            pass
    except HTTPError:
        pass  # the hub answers, and any answer is enough
    except URLError as error:
        if not isinstance(error.reason, ssl.SSLError):  # the client has its own certificates
            raise


def _is_cached(repository: str) -> bool:
    """Returns whether any file of a repository was downloaded before."""
    try:
        snapshot_download(repository, local_files_only=True)
    except (OSError, ValueError):
        return False
    return True

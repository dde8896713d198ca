"""Whether weights that open_clip knows by name can be had, asked before it tries for long."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from huggingface_hub import constants, snapshot_download

PATIENCE = 10.0  # seconds for a first answer


def check_at_hand(settings: Mapping[str, object]) -> None:
    """Raises OSError if weights are not on this machine and the hub does not answer.

    The hub's own client would try each of two files six times, which without a network takes
    three quarters of a minute, and minutes where nothing is even refused.

    Args:
        settings: what open_clip says of these weights.
    """
    repository = os.path.dirname(str(settings.get("hf_hub") or ""))
    if not repository or _kept(repository):
        return
    try:
        with urlopen(constants.ENDPOINT, timeout=PATIENCE):
            pass
    except HTTPError:
        pass  # an answer, whatever it says
    except URLError as error:
        if not isinstance(error.reason, ssl.SSLError):  # the client has certificates of its own
            raise


def _kept(repository: str) -> bool:
    """Returns whether anything of a repository was fetched before."""
    try:
        snapshot_download(repository, local_files_only=True)
    except (OSError, ValueError):
        return False
    return True

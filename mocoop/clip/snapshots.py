"""Whole CLIPs on the Hugging Face Hub: configuration and weights in one folder of its cache."""

from __future__ import annotations

from pathlib import Path

from mocoop.clip.hub import HubOfflineError, HubWeights, cached_file, download
from mocoop.clip.names import HUGGING_FACE_CONFIG, OPEN_CLIP_CONFIG
from mocoop.clip.weights_in import USUAL, USUAL_PICKLES
from mocoop.errors import UserError

CONFIGS = (OPEN_CLIP_CONFIG, HUGGING_FACE_CONFIG, "preprocessor_config.json")


def repository_weights(repository: str) -> HubWeights:
    """Returns where the files of a repository, `owner/name`, are."""
    ours, theirs = USUAL, USUAL_PICKLES
    return HubWeights(repository, (ours[0], theirs[0], ours[1], theirs[1]), CONFIGS)


def snapshot_folder(repository: str) -> Path:
    """Returns the folder with a repository's configuration and weights; downloads what is missing.

    Raises:
        UserError: if they are not on this machine and cannot be downloaded.
    """
    weights = repository_weights(repository)
    file = cached_file(weights)
    if file is None or not any((file.parent / name).is_file() for name in CONFIGS[:2]):
        try:
            file = download(weights)
        except HubOfflineError as error:
            raise UserError(
                f"{repository} is no folder here, and as a repository of the hub it is not on "
                f"this machine and could not be downloaded: {error} Connect to the internet once, "
                "or copy its folder here. The built-in demo works offline: use backbone 'demo'."
            ) from error
    return file.parent

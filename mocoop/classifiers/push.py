"""Uploads an exported classifier to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants, errors

from mocoop.classifiers.export import load_export
from mocoop.clip.hub import HubOfflineError
from mocoop.errors import UserError

# Not classifier.onnx, which has the weights of the CLIP inside.
FILES = ("README.md", "classifier.json", "classifier.safetensors", "head.onnx")
LOGIN = (
    "Log in with: hf auth login (a token with the right to write), or set HF_TOKEN. "
    "{page}/settings/tokens makes tokens."
)


def push_classifier(folder: Path, repository: str, private: bool = False) -> str:
    """Uploads the files of an exported classifier as one commit; returns its page's address.

    A repository that exists gets a new commit: its earlier files stay in its history.

    Args:
        folder: a folder of `mocoop export`; other files in it stay at home.
        repository: `owner/name` on the hub; it is made if it does not exist.
        private: whether a new repository is private.

    Raises:
        UserError: if the folder is not an exported classifier, the name cannot be one, the hub
            does not answer, or its answer is no.
    """
    load_export(folder)  # nothing damaged leaves
    api = HfApi(endpoint=constants.ENDPOINT)
    with _in_words(repository):
        page = api.create_repo(repository, private=private, exist_ok=True, repo_type="model")
        api.upload_folder(
            repo_id=page.repo_id,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message="A classifier of MoCoOp",
        )
    return str(page)


@contextmanager
def _in_words(repository: str) -> Iterator[None]:
    """Turns the errors of the hub's client into sentences."""
    try:
        yield
    except errors.HFValidationError as error:
        raise UserError(
            f"{repository!r} cannot be a repository's name: expected OWNER/NAME of letters, "
            "digits, '-', '_' and '.'."
        ) from error
    except errors.LocalTokenNotFoundError as error:
        raise UserError(f"The hub asks who you are. {_login()}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401:
            raise UserError(f"The hub does not know you, or not yet. {_login()}") from error
        if status == 403:
            raise UserError(
                f"The hub does not let you write to {repository}. Choose a repository of your "
                f"own, or a token with the right to write. {_login()}"
            ) from error
        said = error.server_message or str(error).splitlines()[0]
        raise UserError(f"The hub refused ({status}): {said}") from error
    except (OSError, errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        raise HubOfflineError(
            f"{constants.ENDPOINT} does not answer. Check the connection, and try again: nothing "
            "is lost, and a second try replaces what a first one has sent."
        ) from error


def _login() -> str:
    return LOGIN.format(page=constants.ENDPOINT)

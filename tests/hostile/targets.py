"""What takes input from others: each target is given one hostile input and says what it did."""

from __future__ import annotations

import io
import random
import shutil
import warnings
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from mocoop.assets import asset
from mocoop.catalog.uploads import keep_upload, uploaded_sets
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.runs.export_zip import archive_bytes
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run, damaged_runs, list_runs
from mocoop.runs.validate import check_run
from mocoop.storage.images import open_image
from mocoop.storage.temporary_folder import read_folder
from tests.files.archives import contents, csv_text, split_text, write_folder, write_tar, write_zip
from tests.files.pictures import READ, deep
from tests.hostile.mutations import EVIL_TEXTS, bytes_changed, files_changed, json_changed
from tests.runs.test_zips import entries, zipped

SHIPPED = asset("runs") / "albums-mocoop-16shot"
YAML = 'classes:\n  cat: tomcat\nzero_shot: "a photo of a {}."\nwhite: 4095\n'
SKIPPED = '{"image": "train/cat/1.png", "reason": "damaged"}\n'


class Target(ABC):
    """Something that reads input from others."""

    name = ""
    share = 1
    """How many of the inputs it gets, relative to the others."""
    tells_paths = False
    """Whether a message may name folders: on the user's own command line it has to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def give(self, dice: random.Random) -> str:
        """Gives it one hostile input and returns what it said; empty if it took it.

        Raises:
            Exception: whatever goes wrong; UserError counts as said.
        """


class Pictures(Target):
    """A picture that was uploaded."""

    name, share = "picture", 8

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.whole = [make() for make in READ.values()] + [
            deep(4095),
            deep(1.0, "TIFF", "float32"),
        ]

    def give(self, dice: random.Random) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of much that is odd
            open_image(bytes_changed(dice.choice(self.whole), dice), "the picture")
        return ""


class Uploads(Target):
    """An archive of images that was uploaded."""

    name, share = "zip or tar of images", 6

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = {kind: contents(kind) for kind in ("parts", "table", "split file")}
        self.files["parts"]["mocoop.yaml"] = YAML.encode()

    def give(self, dice: random.Random) -> str:
        files = self.files[dice.choice(list(self.files))]
        suffix, write = dice.choice(((".zip", write_zip), (".tar", write_tar)))
        if dice.random() < 0.6:
            content = write(
                self.folder / f"given{suffix}", files_changed(files, dice)
            ).read_bytes()
        else:
            content = write(self.folder / f"given{suffix}", files).read_bytes()
            content = bytes_changed(content, dice)
        (self.folder / f"given{suffix}").unlink()
        name = dice.choice((f"pets{suffix}", *(text + suffix for text in EVIL_TEXTS[:6])))
        before = uploaded_sets(self.folder)
        try:
            made = keep_upload(io.BytesIO(content), name, self.folder)
        except UserError:
            if uploaded_sets(self.folder) != before:
                raise RuntimeError("something of a refused upload stays") from None
            raise
        shutil.rmtree(made.source)
        return ""


class Lists(Target):
    """A list or a file of settings beside images."""

    name, share, tells_paths = "list beside images", 4, True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.root = write_folder(folder / "pets", contents("parts"))
        self.whole = {
            "photos.csv": csv_text(),
            "split_zhou_Pets.json": split_text(),
            "mocoop-skip.jsonl": SKIPPED,
            "mocoop.yaml": YAML,
        }

    def give(self, dice: random.Random) -> str:
        name, whole = dice.choice(list(self.whole.items()))
        path = self.root / name
        path.write_bytes(_text_changed(name, whole, dice))
        try:
            load_dataset(str(path if name == "photos.csv" else self.root))
        finally:
            path.unlink()
        return ""


class ImportedRuns(Target):
    """A packed run that was uploaded."""

    name, share = "packed run", 6

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.packed = archive_bytes(Run(SHIPPED))
        self.files = entries(self.packed)

    def give(self, dice: random.Random) -> str:
        content = bytes_changed(self.packed, dice)
        if dice.random() < 0.8:
            content = zipped(_listed_again(files_changed(self.files, dice))).getvalue()
        runs = self.folder / "runs"
        try:
            run = read_archive(io.BytesIO(content), runs, "copy")
        except UserError:
            if runs.exists() and any(runs.iterdir()):
                raise RuntimeError("something of a refused run stays") from None
            raise
        _use(run)
        shutil.rmtree(runs)
        return ""


class StoredRuns(Target):
    """A folder in the store of runs, which somebody else wrote."""

    name, share, tells_paths = "folder of a run", 6, True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = read_folder(SHIPPED)

    def give(self, dice: random.Random) -> str:
        path = self.folder / "runs" / "odd"
        shutil.rmtree(path.parent, ignore_errors=True)
        for name, content in {**self.files}.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        name = dice.choice([name for name in self.files if "projection" not in name])
        is_json = name.endswith((".json", ".jsonl"))
        (path / name).write_bytes(
            (json_changed if is_json else bytes_changed)(self.files[name], dice)
        )
        listed, damaged = list_runs([path.parent]), damaged_runs([path.parent])
        if len(listed) + len(damaged) != 1:
            raise RuntimeError("the run is neither listed nor called damaged")
        _use(Run(path))
        return ""


class Requests(Target):
    """The body of a request to `mocoop serve`."""

    name, share = "request to the service", 5

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from starlette.testclient import TestClient

        from mocoop.service.service import Served, make_service

        self.client = TestClient(
            make_service(Served.opened(SHIPPED)), raise_server_exceptions=False
        )
        self.client.__enter__()
        self.picture = next(iter(READ.values()))()

    def give(self, dice: random.Random) -> str:
        boundary = dice.choice(("b", "x" * 200, ""))
        name = dice.choice(("picture.png", *EVIL_TEXTS))
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"'
        body = f"{head}\r\n\r\n".encode("utf-8", "replace")
        body += bytes_changed(self.picture, dice) + f"\r\n--{boundary}--\r\n".encode()
        if dice.random() < 0.5:
            body = bytes_changed(body, dice)
        kind = dice.choice((f"multipart/form-data; boundary={boundary}", "application/json", ""))
        path = dice.choice(
            ("/predict", "/predict", "/predict", "/" + quote(dice.choice(EVIL_TEXTS)))
        )
        answer = self.client.post(path, content=body, headers={"Content-Type": kind})
        if answer.status_code >= 500 and answer.status_code != 503:
            raise RuntimeError(f"status {answer.status_code}: {answer.text[:200]}")
        return answer.text if answer.status_code >= 400 else ""


class Links(Target):
    """The parameters of a link to a page."""

    name, share = "link to a page", 1
    pages: ClassVar[dict[str, tuple[str, ...]]] = {
        "home": ("run", "sample"),
        "data": ("data", "split", "class_of", "look_at", "pictures", "made"),
        "train": ("data", "method", "shots", "seed", "train_on", "from"),
        "routing": ("run", "view", "expert", "style", "class", "image", "order", "page", "prompt"),
        "prompt_space": ("run", "map", "dims", "epoch", "names", "found", "look_class"),
        "compare": ("runs", "table", "datasets", "methods", "beside_show"),
        "overfitting_lab": ("lab", "set", "per_class", "draw", "text_weight", "until", "lesson"),
    }

    def give(self, dice: random.Random) -> str:
        from tests.support.page_fixtures import open_page

        page = dice.choice(list(self.pages))
        names = dice.sample(self.pages[page], dice.randint(1, 3))
        query = {name: dice.choice(EVIL_TEXTS).replace("\0", "%00") for name in names}
        app = open_page(f"pages/{page}.py", **query)
        if app.exception:
            raise RuntimeError(f"{page}?{query}: {app.exception[0].message[:200]}")
        return " ".join(shown.value for shown in (*app.error, *app.warning))


TARGETS = (Pictures, Uploads, Lists, ImportedRuns, StoredRuns, Requests, Links)


def _text_changed(name: str, whole: str, dice: random.Random) -> bytes:
    if name.endswith((".json", ".jsonl")):
        return json_changed(whole.encode(), dice)
    if dice.random() < 0.5:
        word = dice.choice([word for word in whole.replace(",", " ").split() if word])
        return whole.replace(word, dice.choice(EVIL_TEXTS), 1).encode("utf-8", "replace")
    return bytes_changed(whole.encode(), dice)


def _listed_again(files: dict[str, bytes]) -> dict[str, bytes]:
    """Returns the files of a packed run with a list that fits them, so that more is read."""
    import hashlib
    import json

    manifest = next((name for name in files if name.endswith("/archive.json")), None)
    if manifest is None:
        return files
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        values = json.loads(files[manifest])
        listed = {name.partition("/")[2]: data for name, data in files.items() if name != manifest}
        values["files"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in listed.items()
        }
        return files | {manifest: json.dumps(values).encode()}
    return files


def _use(run: Run) -> None:
    """Reads all of a run, as the pages do; each part may refuse in words."""
    for read in (run.status, run.setup, run.records, run.results, run.features, run.weights,
                 lambda: check_run(run.path, run.name), lambda: archive_bytes(run)):  # fmt: skip
        with suppress(UserError):
            read()

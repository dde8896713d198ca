"""The process that writes templates: `python -m app.jobs.template_worker FOLDER`.

The folder has the request, and gets the status, the candidates as they come, and the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from mocoop.errors import UserError
from mocoop.runs.status import (
    FAILED,
    FINISHED,
    RUNNING,
    STATUS_FILE,
    State,
    Status,
    identity,
    read_values,
    saved_status,
    status_values,
)
from mocoop.storage.atomic import atomic_write, exclusive_lock, overwrite_json, write_json
from mocoop.storage.cache_folder import default_cache

if TYPE_CHECKING:
    from mocoop.template_making.calls import Call
    from mocoop.template_making.candidates import Candidate, Judged
    from mocoop.template_making.making import TemplateMaker

REQUEST, CANDIDATES = "request.json", "candidates.json"
RESULT, MEANS = "made.json", "means.npz"
GRAMMAR, LINES, MODEL = "grammar", "lines", "model"  # who writes
LOADING, IMAGES, ASKING, CHECKING, GROUPING = "loading", "images", "asking", "checking", "grouping"
EXPECTED = 250  # candidates of a chat model
_SECONDS = 0.3  # between two writes of the status


@dataclass(frozen=True)
class MakingRequest:
    """What to write templates for, and who writes them."""

    data: str
    """Name or path of the data set."""
    data_holds: str
    """Its class names and sizes, so that another state of it is another request."""
    clip: str
    """The CLIP that checks and groups."""
    writer: str = GRAMMAR
    """grammar, lines or model."""
    about: str = ""
    """What the data set shows, in a sentence."""
    lines: str = ""
    """Templates that the user gave, one per line."""
    model: str = ""
    """Name of the chat model."""
    url: str = ""
    """Address of its endpoint."""
    seed: int = 1


@dataclass(frozen=True)
class MakingStatus(Status):
    """The status of a request."""

    step: str = ""
    """What is being done."""
    done: int = 0
    """Images, answers or templates done in this step."""
    total: int = 0
    """Of how many; 0 if not known."""


def write_status(folder: Path, status: MakingStatus) -> None:
    """Writes a request's status; if the disk is full, it overwrites the old file in place."""
    values = status_values(replace(status, updated=time.time()))
    try:
        write_json(folder / STATUS_FILE, values)
    except OSError:
        overwrite_json(folder / STATUS_FILE, values)


@dataclass
class Making:
    """A request that is being answered."""

    folder: Path
    request: MakingRequest
    status: MakingStatus
    _written: float = field(default=0.0)

    def show(self, step: str, done: int = 0, total: int = 0) -> None:
        """Writes what is being done, at most a few times per second."""
        new = step != self.status.step
        self.status = replace(self.status, step=step, done=done, total=total)
        if new or time.monotonic() - self._written > _SECONDS:
            self._written = time.monotonic()
            write_status(self.folder, self.status)

    def run(self) -> None:
        """Writes, checks and groups templates, and saves the result.

        Raises:
            UserError: if the data set or a model cannot be used, or no template is kept.
        """
        self.show(LOADING)
        from mocoop.clip.backbone import load_backbone
        from mocoop.datasets import load_dataset
        from mocoop.features.cache import FeatureCache
        from mocoop.template_making.calls import candidates_of, check_any
        from mocoop.template_making.candidates import given_templates
        from mocoop.template_making.grammar import grammar_templates
        from mocoop.template_making.making import GroupingSettings, TemplateMaker
        from mocoop.template_making.record import record
        from mocoop.template_making.text_features import mean_vectors

        asked = self.request
        calls: tuple[Call, ...] = ()
        candidates: Sequence[Candidate] = ()
        if asked.writer == LINES:
            candidates = given_templates(asked.lines.splitlines())
        elif asked.writer == GRAMMAR:
            candidates = grammar_templates(asked.about)
        dataset, backbone = load_dataset(asked.data), load_backbone(asked.clip, "auto")
        settings = GroupingSettings(seed=asked.seed)
        cache = FeatureCache(backbone, progress=lambda *done: self.show(IMAGES, *done))
        maker = TemplateMaker(backbone, dataset, cache, settings, len(candidates) or EXPECTED)
        if asked.writer == MODEL:
            calls = self._ask(maker)
            candidates = candidates_of(calls)
            check_any(calls, candidates)
        judged = maker.judge(candidates, lambda *done: self.show(CHECKING, *done))
        self._save_candidates(judged)
        _ = maker.validation  # encoded here, where the progress says so
        self.show(GROUPING)
        made = maker.group(judged)
        source = "file" if asked.writer == LINES else asked.writer
        document = record(made, dataset.name, asked.about, backbone, settings, source, calls)
        kept = [one.template for one in judged if one.kept]
        with atomic_write(self.folder / MEANS) as path, path.open("wb") as file:
            means = mean_vectors(maker.texts.of(kept))
            np.savez(file, means=means, encoded=np.array(maker.encoded))
        write_json(self.folder / RESULT, document)

    def _ask(self, maker: TemplateMaker) -> tuple[Call, ...]:
        """Returns the calls of the chat model; its candidates are saved as they come."""
        from mocoop.template_making.asking import Wish, ask_for_templates
        from mocoop.template_making.chat import ChatModel

        def judge(candidates: Sequence[Candidate]) -> tuple[Judged, ...]:
            judged = maker.judge(candidates)
            self._save_candidates(judged)
            return judged

        asked = self.request
        self.show(ASKING)
        return ask_for_templates(
            ChatModel(asked.model.strip(), asked.url),
            Wish(asked.about, seed=asked.seed),
            maker.class_names,
            judge,
            lambda *done: self.show(ASKING, *done),
        )

    def _save_candidates(self, judged: Sequence[Judged]) -> None:
        write_json(self.folder / CANDIDATES, [asdict(one) for one in judged])


def main(folder: Path) -> None:
    """Answers the request in a folder, and keeps its status up to date."""
    request = MakingRequest(**read_values(folder, REQUEST))
    with exclusive_lock(folder):  # until the server has written this process's number
        status = saved_status(folder, MakingStatus)
        status = replace(status, **identity(psutil.Process()))
    # One at a time uses the processor; a chat model may take minutes, and works elsewhere.
    turn: AbstractContextManager[None] = nullcontext()
    if request.writer != MODEL:
        turn = exclusive_lock(default_cache() / "templates")
    with turn:
        making = Making(folder, request, replace(status, state=RUNNING))
        ended: State = FINISHED
        message = ""
        try:
            making.run()
        except UserError as error:
            ended, message = FAILED, str(error)
        write_status(folder, replace(making.status, state=ended, message=message))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

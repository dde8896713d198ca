"""The process that writes templates: `python -m app.jobs.template_worker FOLDER`.

The folder has the request, and gets the status, the candidates as they come, and the result.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.jobs.job_folder import Job, request_in
from mocoop.runs.status import QUEUED, RUNNING, Status
from mocoop.storage.atomic import atomic_write, exclusive_lock, write_json
from mocoop.storage.cache_folder import default_cache
from mocoop.storage.typed_json import Count

if TYPE_CHECKING:
    from mocoop.template_making.calls import Call
    from mocoop.template_making.candidates import Candidate, Judged
    from mocoop.template_making.making import TemplateMaker

CANDIDATES, RESULT, MEANS = "candidates.json", "made.json", "means.npz"
GRAMMAR, LINES, MODEL = "grammar", "lines", "model"  # who writes
LOADING, IMAGES, ASKING, CHECKING, GROUPING = "loading", "images", "asking", "checking", "grouping"
EXPECTED = 250  # candidates of a chat model


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
    done: Count = 0
    """Images, answers or templates done in this step."""
    total: Count = 0
    """Of how many; 0 if not known."""


@dataclass
class Making:
    """A request that is being answered."""

    folder: Path
    request: MakingRequest
    job: Job[MakingStatus]

    def show(self, step: str, done: int = 0, total: int = 0) -> None:
        """Writes what is being done, at most a few times per second."""
        self.job.show(now=step != self.job.status.step, step=step, done=done, total=total)

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
            encoded = np.array(maker.encoded)
            np.savez(file, templates=np.array(kept), means=means, encoded=encoded)
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
    request = request_in(folder, MakingRequest)
    job = Job.begun(folder, MakingStatus, QUEUED)
    # One at a time uses the processor; a chat model may take minutes, and works elsewhere.
    turn: AbstractContextManager[None] = nullcontext()
    if request.writer != MODEL:
        turn = exclusive_lock(default_cache() / "templates")
    with turn:
        job.status = replace(job.status, state=RUNNING)
        with job.outcome():
            Making(folder, request, job).run()
        job.show()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The search of lengths as a stage of a run: its snapshots, its status, and the model after it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from mocoop.features.cache import Progress
from mocoop.model.build import build_model
from mocoop.model.mixture import PromptMixture
from mocoop.runs.writer import RunWriter
from mocoop.training.data import TrainingData
from mocoop.training.length_search import (
    SearchOptimizer,
    SearchResult,
    alphas_of,
    search_lengths,
)
from mocoop.training.optimizer import DivergedError
from mocoop.training.prepare import Prepared
from mocoop.training.ranks import take_from_first
from mocoop.training.snapshots import (
    Snapshot,
    check_unchanged,
    drop_snapshot,
    save_snapshot,
    training_fingerprint,
)

AFTER_SEARCH = 2**32  # is added to a run's seed for the first values after the search


@dataclass(frozen=True)
class SearchStage:
    """The search of a run."""

    prepared: Prepared
    data: TrainingData
    writer: RunWriter
    started: float
    """The time at which the run began, as `time.perf_counter` counts."""
    snapshot_seconds: float
    """The least time between two snapshots."""
    progress: Progress | None = None
    """Called with the number of epochs so far, and of all epochs."""

    def run(
        self, model: PromptMixture, generator: torch.Generator, snapshot: Snapshot | None
    ) -> tuple[PromptMixture, SearchResult]:
        """Returns the untrained model with the chosen numbers of tokens, and the choice.

        Args:
            model: the model with the candidates, which is trained in place.
            generator: draws all that is random; a CPU generator.
            snapshot: the state of the run where it stopped, or None.

        Raises:
            UserError: if the run's images or weights have changed since it was started, or the
                choice leaves nothing to learn.
            DivergedError: when a loss is no longer finite.
        """
        prepared = self.prepared
        if snapshot is None or snapshot.in_search:
            try:
                self._search(model, generator, snapshot)
            except DivergedError:
                drop_snapshot(self.writer.run.path)  # a resumed search would only diverge again
                raise
            take_from_first(alphas_of(model).values())
            result = SearchResult.from_model(model)
        else:
            result = SearchResult.from_json(snapshot.search)
        settings, count = result.settings(prepared.config), len(prepared.trained)
        # Of its own, whose seed no run has: a resumed training knows the same start.
        start = torch.Generator().manual_seed(settings.seed + AFTER_SEARCH)
        chosen = build_model(settings, prepared.backbone, prepared.groups, start, count)
        return chosen, result

    def _search(
        self, model: PromptMixture, generator: torch.Generator, snapshot: Snapshot | None
    ) -> None:
        """Trains the candidates in place; writes snapshots and the run's status."""
        config, writer, total = (
            self.prepared.config,
            self.writer,
            self.prepared.config.length_epochs,
        )
        fingerprint, done = training_fingerprint(self.prepared, self.data), 0
        optimizer = SearchOptimizer(model, config)
        if snapshot is not None:
            check_unchanged(snapshot, fingerprint, writer.run.name)
            snapshot.restore(model, optimizer, generator)
            done = snapshot.searched
        saved, tower = time.monotonic(), self.prepared.backbone.text
        steps = search_lengths(model, tower, self.data, config, generator, optimizer, done)
        for epoch in steps:
            if epoch == total or time.monotonic() - saved >= self.snapshot_seconds:
                spent = time.perf_counter() - self.started
                state = Snapshot.capture(model, optimizer, generator, 0, spent, fingerprint, epoch)
                save_snapshot(writer.run.path, state)
                saved = time.monotonic()
            writer.update(message=f"searching the numbers of tokens: epoch {epoch} of {total}")
            if self.progress is not None:
                self.progress(epoch, total)

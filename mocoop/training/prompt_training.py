"""The training of soft prompts in a run: a record per epoch, saved features, and snapshots."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import asdict, replace

import torch

from mocoop.classifiers.prompts import learned_state
from mocoop.model.block_tokens import block_tokens, moved_by_block
from mocoop.model.mixture import PromptMixture
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.writer import RunWriter
from mocoop.training.data import TrainingData
from mocoop.training.length_search import SearchResult
from mocoop.training.loop import EpochRecord, fit
from mocoop.training.optimizer import DivergedError, PromptOptimizer
from mocoop.training.prepare import Prepared
from mocoop.training.snapshots import (
    Snapshot,
    check_unchanged,
    drop_snapshot,
    load_saved_epochs,
    save_epoch,
    save_snapshot,
    training_fingerprint,
)

Gates = dict[int, dict[str, torch.Tensor]]
"""Epoch → the router's parameters."""


def train_prompts(
    prepared: Prepared,
    model: PromptMixture,
    data: TrainingData,
    generator: torch.Generator,
    writer: RunWriter,
    snapshot: Snapshot | None,
    started: float,
    untrained_accuracy: float | None,
    search: SearchResult | None,
    until: int | None,
    snapshot_seconds: float,
) -> Generator[EpochRecord, None, tuple[dict[int, torch.Tensor], Gates]]:
    """Trains the soft prompts, yields a record per epoch and writes snapshots.

    Returns:
        Epoch → soft features (experts, classes, dim), and epoch → the router's parameters.
    """
    config, backbone, folder = prepared.config, prepared.backbone, writer.run.path
    names = ClassTokens.from_names(backbone.text.tokens, prepared.dataset.class_names)
    fingerprint = training_fingerprint(prepared, data)
    optimizer = PromptOptimizer(model, config) if config.epochs > 0 else None
    soft: dict[int, torch.Tensor] = {}
    gates: Gates = {}
    visual = backbone.model.visual
    start = block_tokens(model, visual)  # a resumed training starts from the same ones

    def keep(epoch: int) -> None:
        with torch.no_grad():
            soft[epoch] = model.text_features(backbone.text, names).cpu()
        if model.gate is not None:
            # `clone`: on the CPU `cpu()` returns the parameters themselves, which still change.
            parameters = model.gate.state_dict(prefix="gate.")
            gates[epoch] = {name: value.cpu().clone() for name, value in parameters.items()}
        if optimizer is not None:
            save_epoch(folder, epoch, soft[epoch], gates.get(epoch, {}))

    searched = () if search is None else (config.length_epochs, search.to_json())
    done = 0
    if snapshot is not None and snapshot.in_search:
        writer.truncate_records(-1)  # its training starts anew
    elif snapshot is not None and optimizer is not None:
        check_unchanged(snapshot, fingerprint, writer.run.name)
        snapshot.restore(model, optimizer, generator)
        done = snapshot.epoch
        soft, gates = load_saved_epochs(folder, done)
        writer.truncate_records(done or -1)  # the record before training is made again
    saved = time.monotonic()
    try:
        for record in fit(model, backbone.text, data, config, generator, optimizer, done):
            done = record.epoch
            if done == 0:
                record = replace(record, zero_shot=untrained_accuracy)
            if start:
                moved = moved_by_block(start, block_tokens(model, visual))
                record = replace(record, moved=moved)
            if done == config.epochs or done % config.save_every == 0:
                keep(done)
            writer.add_record(asdict(record))
            due = done in (until, config.epochs) or time.monotonic() - saved >= snapshot_seconds
            if optimizer is not None and due:
                spent = time.perf_counter() - started
                state = Snapshot.capture(
                    model, optimizer, generator, done, spent, fingerprint, *searched
                )
                save_snapshot(folder, state)
                saved = time.monotonic()
            writer.update(epoch=done, message="training")
            yield record
    except DivergedError:
        # The model holds the last finite weights again: save what it has learned so far.
        writer.save_weights(learned_state(model))
        drop_snapshot(folder)  # a resumed training would only diverge again
        raise
    return soft, gates

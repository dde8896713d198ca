"""The experiment of the Overfitting lab: its trainings, and those that are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app.caches import data as data_caches
from app.caches.run_list import stamp_of
from app.common import access
from app.common.words import duration
from app.jobs import estimates, trainings
from app.lab import experiment_words, runs
from app.lab.ready import nearest
from app.ui.messages import errors_in_words
from app.ui.safe_markdown import without_directives
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.protocols.lab import METHODS as LAB_METHODS
from mocoop.protocols.lab import SUPERVISED, LabRun, LabSettings, measure
from mocoop.protocols.lab_grid import Grid, read_grid
from mocoop.runs.run import Run, open_run
from mocoop.runs.status import FINISHED, QUEUED

Wanted = tuple[str, int]
"""A method and a seed."""


@dataclass(frozen=True)
class LabTrainings:
    """The trainings for one position of the sliders."""

    runs: Mapping[str, tuple[LabRun, ...]]
    """Method → measured trainings, one for each seed that exists."""
    seeds: Mapping[str, tuple[int, ...]]
    """Method → the seeds of its trainings, in the same order."""
    missing: Mapping[Wanted, TrainConfig]
    """Method and seed → settings of a training that does not exist yet."""


@st.cache_resource(show_spinner=experiment_words.OPENING, max_entries=1)
def grid() -> Grid:
    """Returns the grid that comes with the project; all sessions share it."""
    return read_grid()


def find(chosen: Sequence[LabSettings]) -> LabTrainings:
    """Returns the trainings from the grid or, if they are missing there, from the runs.

    Args:
        chosen: settings that differ in their seed alone.

    Raises:
        UserError: if the grid or a finished run cannot be read.
    """
    every = {(m, settings.seed): settings for m in LAB_METHODS for settings in chosen}
    found = {key: run for key, one in every.items() if (run := _in_grid(key[0], one))}
    asked = {key: one.config(key[0]) for key, one in every.items() if key not in found}
    if asked:
        dataset = data_caches.dataset(chosen[0].data)
        for key, made in runs.find_runs(asked, dataset).items():
            if made.status().state == FINISHED:
                found[key] = _measured(str(made.path), stamp_of(made))
    trained = {
        m: tuple(found[key] for key in every if key in found and key[0] == m) for m in LAB_METHODS
    }
    ordered = {method: several for method, several in trained.items() if several}
    seeds = {
        m: tuple(seed for method, seed in every if (method, seed) in found and method == m)
        for m in ordered
    }
    return LabTrainings(
        ordered, seeds, {k: config for k, config in asked.items() if k not in found}
    )


def _in_grid(method: str, settings: LabSettings) -> LabRun | None:
    """Returns a training of the grid; None if it is missing or was made with another CLIP."""
    known = grid()
    if data_caches.backbone(preset(method).backbone).fingerprint != known.backbone_fingerprint:
        return None
    return known.find(method, settings)


@st.cache_resource(show_spinner=experiment_words.TESTING, max_entries=12)
def _measured(path: str, stamp: float) -> LabRun:
    run = open_run(path)
    config = run.setup().config
    return measure(run, data_caches.dataset(config.data), data_caches.backbone(config.backbone))


def ready_line(data: str) -> None:
    """Says for which positions of the sliders trainings are ready."""
    try:
        axes = grid().axes
    except UserError:
        return  # the page says so where it looks for trainings
    if data in axes.data:
        st.caption(experiment_words.ready(axes))


def nearest_ready(lab: LabTrainings, chosen: tuple[LabSettings, ...]) -> tuple[LabSettings, ...]:
    """Returns the settings to show: the nearest ready ones where no method with a text loss is.

    Those methods depend on every slider. So what was drawn before stays while a slider moves, or
    while trainings are made.
    """
    if not lab.missing or any(method in lab.runs for method in SUPERVISED):
        return chosen
    ready = nearest(chosen, grid().axes)
    return ready if ready and not find(ready).missing else chosen


def missing_panel(lab: LabTrainings, data: str) -> None:
    """Says which trainings are missing; offers to make them, or shows their progress."""
    if not lab.missing:
        return
    dataset = data_caches.dataset(data)
    existing = runs.find_runs(lab.missing, dataset)
    active = {k: existing[k] for k in lab.missing if k in existing and existing[k].status().active}
    *first, last = dict.fromkeys(METHODS[method].label for method, _ in lab.missing)
    names = f"{', '.join(first)} and {last}" if first else last
    if active:
        st.fragment(_progress, run_every=1.0)(active)
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        seconds = runs.seconds(lab.missing, dataset)
        spent = "time unknown" if seconds is None else duration(seconds)
        if len(lab.missing) > 1:
            spent = experiment_words.several_trainings(len(lab.missing), spent)
        st.markdown(experiment_words.missing(names, spent))
        if not access.read_only() and st.button(
            experiment_words.TRAIN_NOW,
            type="primary",
            icon=":material/play_arrow:",
            key="lab train",
        ):
            runs.start(lab.missing)
            st.rerun()
    _stopped(existing)


def _stopped(existing: Mapping[Wanted, Run]) -> None:
    """Says in one box why trainings have no result; a button removes them."""
    if not existing:
        return
    with st.container(border=True):
        told = []
        for (method, seed), run in existing.items():
            status = run.status()
            name = experiment_words.with_seed(METHODS[method].label, seed)
            told.append(experiment_words.ended(name, status.state, status.message))
        st.warning(without_directives("  \n".join(told)))
        if not access.read_only() and st.button(
            experiment_words.REMOVE, icon=":material/close:", key="lab remove"
        ):
            runs.remove(existing.values())
            st.rerun()


@errors_in_words()
def _progress(active: Mapping[Wanted, Run]) -> None:
    """Shows the progress of trainings; as soon as one is over, the whole page runs again."""
    try:
        states = {key: run.status() for key, run in active.items()}
    except UserError:  # another visitor has cancelled it, which removes it
        st.rerun()
    if any(not status.active for status in states.values()):
        st.rerun()
    several = len({seed for _, seed in active}) > 1
    for (method, seed), status in states.items():
        name = METHODS[method].label
        name = experiment_words.with_seed(name, seed) if several else name
        if status.state == QUEUED or not status.epochs:
            first = active[method, seed] in trainings.active_runs()[:1]
            st.progress(0.0, experiment_words.not_yet(name, first))
            continue
        left = estimates.seconds_left(status, active[method, seed].records())
        time_left = duration(left) if left else ""
        text = experiment_words.progress(name, status.epoch, status.epochs, time_left)
        st.progress(status.epoch / status.epochs, text)
    if not access.read_only() and st.button(
        experiment_words.CANCEL, icon=":material/stop:", key="lab cancel"
    ):
        for run in active.values():
            trainings.cancel_run(run)
        runs.remove(active.values())
        st.rerun()

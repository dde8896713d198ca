"""The panel of the Train page: the current run with live curves, the queue, the results."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import streamlit as st

from app.caches import run_list
from app.common import access, state
from app.common.methods import has_epochs, learns_prompts
from app.common.plotting import widest
from app.common.run_labels import LabelledRun, run_labels
from app.common.words import escape_markdown, run_title
from app.jobs import trainings
from app.train import curves, onward
from app.train import panel_words as words
from app.train.progress import progress_of
from app.train.results import pair_tests, show_accuracies
from app.train.settings import is_overfitting
from app.train.words import PARTS, WATCH_OVERFITTING, what_came_out
from app.ui.messages import errors_in_words
from app.ui.parts import show_figure
from app.ui.safe_markdown import without_directives
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.runs.run import Run, RunSetup, default_runs, list_runs
from mocoop.runs.status import CANCELLED, FINISHED, QUEUED, Status

Records = Sequence[dict[str, Any]]
Colour = Literal["blue", "gray", "green", "orange", "red"]

POLL_SECONDS = 1.0
RECENT = 4  # earlier runs listed below the panel
CHART_CONFIG = {"displaylogo": False, "modeBarButtons": [["toImage"]]}  # shown on hover
BADGES: dict[str, tuple[Colour, str]] = {
    "starting": ("blue", ":material/hourglass_top:"),
    "queued": ("gray", ":material/hourglass_empty:"),
    "running": ("blue", ":material/play_arrow:"),
    "finished": ("green", ":material/check:"),
    "cancelled": ("orange", ":material/cancel:"),
    "failed": ("red", ":material/error:"),
    "interrupted": ("orange", ":material/power_off:"),
}


def training_panel() -> None:
    """Shows the current run or the newest one; polls its files only while a run is active."""
    polling = bool(trainings.active_runs())
    st.fragment(_panel, run_every=POLL_SECONDS if polling else None)(polling)


@errors_in_words()
def _panel(polling: bool) -> None:
    active = trainings.active_runs()
    if polling and not active:
        st.rerun()  # runs the whole page again, then without polling
    others = [run for run in list_runs([default_runs()]) if run not in active]
    shown = active[0] if active else next(iter(others), None)
    if shown is None:
        _nothing_yet()
        return
    with errors_in_words():
        _show_run(shown)
    for run in active[1:]:
        with errors_in_words():
            _show_waiting(run)
    _show_recent([run for run in others if run != shown][:RECENT])


def _nothing_yet() -> None:
    if access.read_only():
        st.info(words.NO_RUN)
        return
    with st.container(border=True):
        st.header(words.NOTHING_YET)
        st.markdown(words.HOW_TO_START)


def _show_run(run: Run) -> None:
    status, records, config = run.status(), run.records(), _requested(run)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(escape_markdown(_title(run, config)))
        # This run is the next in the queue, so a waiting run is already starting.
        _badge("starting" if status.state == QUEUED else status.state)
        st.space("stretch")
        if status.active and not access.read_only():
            _cancel_button(run, words.CANCEL)
    if status.active and config is not None and is_overfitting(config):
        st.caption(WATCH_OVERFITTING)
    setup = None
    if status.active:
        _show_progress(status, records, config)
    elif status.state == FINISHED:
        setup = run.setup()
        _show_results(run, setup, records)
    else:
        _show_stopped(run, status)
    if len(records) > 1:
        _show_curves(records, setup or run.setup(), over=not status.active)


def _show_progress(status: Status, records: Records, config: TrainConfig | None) -> None:
    """Shows the progress of a training as a bar with a line of text."""
    st.progress(*progress_of(status, records, config))


def status_line() -> None:
    """Shows what the current training does, or that it has ended, in one line.

    It is for below the button that starts it: on a narrow screen the panel is far away.
    """
    if trainings.active_runs():
        st.fragment(_status_line, run_every=POLL_SECONDS)()
        return
    watched = st.session_state.get(state.WATCHED)
    with suppress(UserError):  # the run was deleted in the meantime
        if watched is not None:
            ended = Run(default_runs() / watched).status().state
            icon = BADGES[ended][1]
            st.caption(f"{icon} {words.it_ended(words.STATES[ended])}")


@errors_in_words()
def _status_line() -> None:
    with suppress(UserError):  # the run was deleted in the meantime
        active = trainings.active_runs()
        if active:
            run = active[0]
            st.session_state[state.WATCHED] = run.name
            _, text = progress_of(run.status(), run.records(), _requested(run))
            st.caption(f":material/hourglass_top: {words.in_progress(text, len(active) - 1)}")


def _show_results(run: Run, setup: RunSetup, records: Records) -> None:
    config = setup.config
    show_accuracies(run, config)
    asked = _requested(run)  # the run's own settings also hold the data set's templates
    if asked is not None and is_overfitting(asked):
        last = records[-1] if records else {}
        tests = pair_tests(run.results())
        accuracies = last.get("train_accuracy"), last.get("val_accuracy")
        st.info(what_came_out(*accuracies, tests), icon=":material/visibility:")
    if not has_epochs(config):
        _explain_no_curves(setup, records)
    elif setup.knows_trained_only:
        st.caption(words.trained_only(METHODS[config.method].label))
    with st.container(horizontal=True):
        routed = METHODS[config.method].is_mixture
        routing = words.SEE_ROUTING if routed else words.SEE_PREDICTIONS
        if st.button(routing, type="primary", icon=":material/alt_route:"):
            st.switch_page("pages/routing.py", query_params={state.RUN: run.name})
        if learns_prompts(config) and st.button(words.SEE_PROMPTS, icon=":material/scatter_plot:"):
            st.switch_page("pages/prompt_space.py", query_params={state.RUN: run.name})
        if any(part in run.results() for part in PARTS):
            onward.compare_button(run.name, {run.name: config} | run_list.finished_configs())


def _explain_no_curves(setup: RunSetup, records: Records) -> None:
    """Says why a run without epochs has no curves, and its validation accuracy."""
    config = setup.config
    method = METHODS[config.method]
    name = method.label
    if not method.needs_images or method.learns_prompts:
        text = words.nothing_learned(name)
    else:
        text = words.one_step(name)
    accuracy = next((record["val_accuracy"] for record in records), None)
    if accuracy is not None:
        text += f" {words.validation_accuracy(accuracy)}"
    if setup.knows_trained_only:
        text += f" {words.trained_only(name)}"
    st.caption(text)


def _show_stopped(run: Run, status: Status) -> None:
    """Says why a run stopped, shows its process's output, and offers to train it again."""
    if status.state == CANCELLED:
        after = status.epoch if status.epochs else None
        st.info(words.cancelled(after), icon=":material/cancel:")
    else:
        st.warning(without_directives(words.stopped(status.message)), icon=":material/error:")
        if log := trainings.log_tail(run):
            with st.expander(words.PRINTED):
                st.code(log, language=None)
        onward.check_link(_requested(run), status.message)
    if access.read_only():
        return
    with st.container(horizontal=True):
        _resume_button(run)
        if st.button(words.TRAIN_AGAIN, icon=":material/replay:", key=f"again {run.name}"):
            trainings.start_run(trainings.requested(run))
            st.rerun()


def _show_curves(records: Records, setup: RunSetup, over: bool) -> None:
    """Shows the curves of a run; when it is over, they can be saved."""
    epochs, experts = setup.config.epochs, setup.experts
    figures = {
        words.ACCURACY: curves.accuracy_figure(records, epochs),
        words.LOSSES: curves.loss_figure(records, epochs),
    }
    if len(experts) > 1:
        figures |= {
            words.EXPERTS_USED: curves.usage_figure(records, epochs, experts),
            words.UNCERTAINTY: curves.entropy_figure(records, epochs, len(experts)),
        }
    for start in range(0, len(figures), 2):
        pairs = list(figures.items())[start : start + 2]
        for column, (title, figure) in zip(st.columns(2), pairs, strict=True):
            with column:
                st.markdown(f"**{title}**")
                if over:
                    show_figure(figure, f"curve {title}", words.by_epoch(title))
                else:
                    st.plotly_chart(
                        figure,
                        width=widest(figure),
                        key=f"curve {title}",
                        config=CHART_CONFIG,
                    )


def _show_waiting(run: Run) -> None:
    """Shows a queued run in one line."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _badge(run.status().state)
        st.markdown(escape_markdown(_title(run, _requested(run))))
        st.space("stretch")
        if not access.read_only():
            _cancel_button(run, words.REMOVE)


def _show_recent(runs: list[Run]) -> None:
    """Shows earlier runs, one line each."""
    if not runs:
        return
    st.markdown(words.EARLIER)
    labels = _labels(runs)
    for run in runs:
        with errors_in_words(), st.container(horizontal=True, vertical_alignment="center"):
            status = run.status()
            _badge(status.state)
            if status.state == FINISHED:
                st.page_link(
                    "pages/routing.py",
                    label=labels[run.name],
                    query_params={state.RUN: run.name},
                    help=words.OPEN_HELP,
                )
            else:
                st.markdown(labels[run.name])
            st.space("stretch")
            if status.state == FINISHED:
                st.markdown(_accuracy(run))
            elif not access.read_only():
                _resume_button(run)


def _labels(runs: Sequence[Run]) -> dict[str, str]:
    """Returns the name of each run's folder → its label, as in menus: all labels differ."""
    known = []
    for run in runs:
        with suppress(UserError):  # it was deleted in the meantime
            known.append(LabelledRun(run.name, _requested(run), run.status().started))
    labels = {run.name: run.name for run in runs} | run_labels(known)
    return {name: escape_markdown(label) for name, label in labels.items()}


def _resume_button(run: Run) -> None:
    """Offers to continue a run that stopped, if that is possible."""
    saved = trainings.resumes_after(run)
    if saved is not None and st.button(
        words.continue_after(saved),
        icon=":material/resume:",
        key=f"resume {run.name}",
        type="primary",
        help=words.CONTINUE_HELP,
    ):
        trainings.resume_run(run)
        st.rerun()


def _cancel_button(run: Run, label: str) -> None:
    if st.button(label, icon=":material/stop:", key=f"cancel {run.name}"):
        with st.spinner(words.STOPPING):
            trainings.cancel_run(run)
        st.rerun()


def _badge(state: str) -> None:
    colour, icon = BADGES[state]
    st.badge(words.STATES[state], color=colour, icon=icon)


def _requested(run: Run) -> TrainConfig | None:
    """Returns a run's settings; None if they cannot be read, or not yet."""
    try:
        return trainings.requested(run)
    except UserError:
        return None


def _title(run: Run, config: TrainConfig | None) -> str:
    """Returns a run's settings in one line, or its name if the settings cannot be read."""
    return run.name if config is None else run_title(config)


def _accuracy(run: Run) -> str:
    results = run.results()
    shown = {part: f"{results[part]['accuracy']:.1f} %" for part in PARTS if part in results}
    return shown.get("all") or " / new ".join(shown.values())

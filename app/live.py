"""The Train page's panel: the run in progress with live curves, the queue, the results."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app import curves, jobs, state
from app.settings import duration, run_title
from mocoop.errors import UserError
from mocoop.runs import Run, default_runs, list_runs
from mocoop.status import CANCELLED, FINISHED, QUEUED, Status

Colour = Literal["blue", "gray", "green", "orange", "red"]

POLL_SECONDS = 1.0
RECENT = 4  # earlier runs listed below the panel
CHART_CONFIG = {"displaylogo": False, "modeBarButtons": [["toImage"]]}  # shown on hover
BADGES: dict[str, tuple[str, Colour, str]] = {
    "queued": ("waiting", "gray", ":material/hourglass_empty:"),
    "running": ("training", "blue", ":material/play_arrow:"),
    "finished": ("finished", "green", ":material/check:"),
    "cancelled": ("cancelled", "orange", ":material/cancel:"),
    "failed": ("failed", "red", ":material/error:"),
    "interrupted": ("interrupted", "orange", ":material/power_off:"),
}


def training_panel() -> None:
    """Shows the run in progress or the newest one; polls its files only while there is need."""
    polling = bool(jobs.active_runs())
    st.fragment(_panel, run_every=POLL_SECONDS if polling else None)(polling)


def _panel(polling: bool) -> None:
    active = jobs.active_runs()
    if polling and not active:
        st.rerun()  # the whole page, which then comes back without polling
    others = [run for run in list_runs([default_runs()]) if run not in active]
    shown = active[0] if active else next(iter(others), None)
    if shown is None:
        _nothing_yet()
        return
    _show_run(shown)
    for run in active[1:]:
        _show_waiting(run)
    _show_recent([run for run in others if run != shown][:RECENT])


def _nothing_yet() -> None:
    with st.container(border=True):
        st.markdown("##### No training yet")
        st.markdown(
            "Press **Start training**: the curves are drawn here while it learns. With the "
            "settings as they are it takes about half a minute. You may leave the page, reload it "
            "or close the browser in the meantime."
        )


def _show_run(run: Run) -> None:
    status, records = run.status(), run.records()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"##### {_title(run)}")
        _badge(status)
        st.space("stretch")
        if status.active:
            _cancel_button(run, "Cancel")
    if status.active:
        _show_progress(run, status)
    elif status.state == FINISHED:
        _show_results(run)
    else:
        _show_stopped(run, status)
    if len(records) > 1:
        _show_curves(run)


def _show_progress(run: Run, status: Status) -> None:
    if status.state == QUEUED:
        st.progress(0.0, "Starting: loading the CLIP …")
        return
    done = status.epoch / status.epochs if status.epochs else 0.0
    text = f"Epoch {status.epoch} of {status.epochs}"
    left = jobs.seconds_left(status, run.records())
    if status.message != "training":
        text = f"{text}: {status.message} …"
    elif left is not None:
        text = f"{text} · {duration(left)} left"
    st.progress(done, text)


def _show_results(run: Run) -> None:
    results = run.results()
    with st.container(horizontal=True, vertical_alignment="center", gap="large"):
        if "all" in results:
            _percent("Test accuracy", results["all"]["accuracy"])
        else:
            _percent("Trained half", results["base"]["accuracy"])
            _percent("New half", results["new"]["accuracy"])
            _percent("Harmonic mean", results["harmonic_mean"])
        counted = sum(part["num_images"] for part in results.values() if isinstance(part, dict))
        st.metric("Test images", counted, width="content")
        st.metric("Training time", f"{results['training_seconds']:.0f} s", width="content")
    with st.container(horizontal=True):
        if st.button("See the routing", type="primary", icon=":material/alt_route:"):
            st.switch_page("pages/routing.py", query_params={state.RUN: run.name})
        if st.button("See the prompt space", icon=":material/scatter_plot:"):
            st.switch_page("pages/prompt_space.py", query_params={state.RUN: run.name})


def _show_stopped(run: Run, status: Status) -> None:
    """Says why a run stopped, with what its process printed, and offers to train it again."""
    if status.state == CANCELLED:
        st.info(f"Cancelled after epoch {status.epoch}.", icon=":material/cancel:")
    else:
        st.warning(f"Stopped: {status.message}", icon=":material/error:")
        if log := jobs.log_tail(run):
            with st.expander("What the training printed"):
                st.code(log, language=None)
    if st.button("Train it again", icon=":material/replay:", key=f"again {run.name}"):
        jobs.start_run(jobs.requested(run))
        st.rerun()


def _show_curves(run: Run) -> None:
    records, made_of = run.records(), run.setup()
    epochs, experts = made_of.config.epochs, made_of.experts
    figures = {
        "Accuracy": curves.accuracy_figure(records, epochs),
        "Losses": curves.loss_figure(records, epochs),
    }
    if len(experts) > 1:
        figures |= {
            "Which experts are used": curves.usage_figure(records, epochs, experts),
            "How undecided the router is": curves.entropy_figure(records, epochs, len(experts)),
        }
    for start in range(0, len(figures), 2):
        pairs = list(figures.items())[start : start + 2]
        for column, (title, figure) in zip(st.columns(2), pairs, strict=True):
            with column:
                st.markdown(f"**{title}**")
                st.plotly_chart(figure, key=f"curve {title}", config=CHART_CONFIG)


def _show_waiting(run: Run) -> None:
    """Shows a queued run in a line."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _badge(run.status())
        st.markdown(_title(run))
        st.space("stretch")
        _cancel_button(run, "Remove")


def _show_recent(runs: list[Run]) -> None:
    """Shows earlier runs in a line each."""
    if not runs:
        return
    st.markdown("**Earlier runs**")
    for run in runs:
        with st.container(horizontal=True, vertical_alignment="center"):
            _badge(run.status())
            st.markdown(_title(run))
            st.space("stretch")
            if run.status().state == FINISHED:
                st.markdown(_accuracy(run))


def _cancel_button(run: Run, label: str) -> None:
    if st.button(label, icon=":material/stop:", key=f"cancel {run.name}"):
        with st.spinner("Stopping …"):
            jobs.cancel_run(run)
        st.rerun()


def _badge(status: Status) -> None:
    label, colour, icon = BADGES[status.state]
    st.badge(label, color=colour, icon=icon)


def _title(run: Run) -> str:
    """Returns a run's settings in a line, or its name where the settings cannot be read."""
    try:
        return run_title(jobs.requested(run))
    except UserError:
        return run.name


def _accuracy(run: Run) -> str:
    results = run.results()
    if "all" in results:
        return f"{results['all']['accuracy']:.1f} %"
    return f"{results['base']['accuracy']:.1f} % / new {results['new']['accuracy']:.1f} %"


def _percent(label: str, value: float) -> None:
    st.metric(label, f"{value:.1f} %", width="content")

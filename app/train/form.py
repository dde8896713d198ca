"""The Train page's groups of widgets; each returns settings and shows no result."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.common import state
from app.common.methods import learns_prompts, menu_label, method_called, start_of
from app.common.words import GROUP, TEMPLATES, duration, groups_to_rows, rows_to_groups
from app.jobs import estimates, trainings
from app.jobs.estimates import check_together
from app.train.settings import SHOTS, with_groups
from app.ui.pickers import pick_data
from mocoop.config import ClassesChoice, TrainConfig
from mocoop.datasets import Dataset
from mocoop.datasets.splits import shots_missing
from mocoop.markdown import markdown_table
from mocoop.methods import MENU, METHODS
from mocoop.model.hard_prompts import expert_groups
from mocoop.presets import preset
from mocoop.runs.run import default_runs, list_runs

Rows = list[dict[str, object]]


def basic_settings() -> TrainConfig:
    """Returns a method's preset with data set, shots, seed and classes as chosen.

    Raises:
        UserError: if no data set is named.
    """
    data = pick_data()
    method = pick_method()
    usual = preset(method)
    drawn = METHODS[method].needs_images
    shots = _pick_shots() if drawn else usual.shots
    line = st.container(horizontal=True)  # the seed goes below on a narrow page
    classes = line.segmented_control(
        "Train on",
        get_args(ClassesChoice),
        format_func={"all": "All classes", "base": "Base half"}.__getitem__,
        default="all",
        required=True,
        key=state.TRAIN_ON,
        bind=state.QUERY,
        help="Base half: only the first half of the classes. The test then also asks for the "
        "other half, which the prompts have never seen.",
    )
    seed = _pick_seed(line) if drawn else usual.seed
    return replace(usual, data=data, shots=shots, seed=seed, classes=classes or "all")


def _pick_shots() -> int:
    shots = st.segmented_control(
        "Training images per class",
        SHOTS,
        default=16,
        required=True,
        key=state.SHOTS,
        bind=state.QUERY,
    )
    return int(shots or 16)


def _pick_seed(line: DeltaGenerator) -> int:
    seed = line.number_input(
        "Seed",
        0,
        2**32 - 1,
        1,
        width=110,
        key=state.SEED,
        bind=state.QUERY,
        help="Draws the training images; another seed gives another draw.",
    )
    return int(seed)


def pick_method() -> str:
    """Returns the chosen method, which is explained in a line; others on request."""
    asked = st.query_params.get(state.METHOD, "")
    meant = method_called(asked)
    if meant is not None and asked != menu_label(METHODS[meant]):
        st.query_params[state.METHOD] = menu_label(METHODS[meant])  # a link of an earlier version
        st.rerun()
    method = st.selectbox(
        "Method",
        list(MENU),
        format_func=lambda key: menu_label(METHODS[key]),
        key=state.METHOD,
        bind=state.QUERY,
    )
    with st.container(gap="xsmall"):
        st.caption(f"{METHODS[method].summary} {METHODS[method].use}")
        if st.button("Which method for what?", icon=":material/help:", type="tertiary"):
            explain_methods()
    return method


@st.dialog("Which method for what?", width="large")
def explain_methods() -> None:
    """Shows what every method does and when it is of use."""
    rows: list[tuple[str, ...]] = []
    family = ""
    for method in MENU.values():
        if method.family != family:
            family = method.family
            rows.append((f"*{family}*", "", ""))
        rows.append((f"**{method.label}**", method.summary, method.use))
    with st.container(height=480, border=False):  # the dialog's end stays on the page
        st.markdown(markdown_table(("Method", "What it does", "What it is for"), rows))


def template_table(config: TrainConfig, dataset: Dataset) -> Rows | None:
    """Returns the rows of the table of template groups; None for a method of one prompt."""
    if not METHODS[config.method].is_mixture:
        return None
    st.caption(
        "Each row becomes one expert. It starts from the words of its first template; the "
        "others, between bars, help to keep it there. `{}` is where the class name goes."
    )
    return _template_table(config.data, groups_to_rows(dataset.templates.groups))


def apply_templates(config: TrainConfig, dataset: Dataset, rows: Rows | None) -> TrainConfig:
    """Returns the settings with the edited groups; says what a method without groups does.

    Raises:
        UserError: for a table that makes no good groups.
    """
    templates = dataset.templates
    if rows is not None:
        return with_groups(config, rows_to_groups(rows), templates.groups)
    st.caption(
        f"{METHODS[config.method].label} has no groups of templates. It starts from "
        f"{start_of(config, templates.zero_shot)}"
    )
    (used,) = expert_groups(config, templates).values()
    if len(used) > 1:
        st.caption("The hard templates that it works with: " + " · ".join(used))
    return config


def start_button(config: TrainConfig, dataset: Dataset) -> None:
    """Shows what a training would be and how long it takes, and starts it when asked to.

    Raises:
        UserError: for settings that do not fit the data set.
    """
    size = check_together(config, dataset)
    seconds = estimates.estimate_seconds(config, size, list_runs([default_runs()]))
    waiting = bool(trainings.active_runs())
    begin = "Test it" if METHODS[config.method].learns == "nothing" else "Start training"
    if st.button(
        "Add to the queue" if waiting else begin,
        key="start",
        type="primary",
        icon=":material/playlist_add:" if waiting else ":material/play_arrow:",
        width="stretch",
    ):
        trainings.start_run(config)
        st.rerun()  # the button and the panel now have something to wait for
    parts = [f"{size.classes} classes"]
    if learns_prompts(config):
        parts.append("1 prompt" if size.experts == 1 else f"{size.experts} experts")
    if config.style:
        parts.append(f"{size.images:,} images")
    parts.append("time not yet known" if seconds is None else duration(seconds))
    st.caption(", ".join(parts))
    missing = shots_missing(config, size.classes, size.images)
    if missing is not None and METHODS[config.method].needs_images:
        st.caption(f":material/info: {missing}")


def _template_table(data: str, usual: list[dict[str, str]]) -> Rows:
    """Returns the rows of the edited table, which keeps its edits when the page is left."""
    shown, edited = f"{state.TEMPLATES_SHOWN} {data}", f"{state.TEMPLATES_EDITED} {data}"
    resets = f"{state.TEMPLATES_RESETS} {data}"
    memory = st.session_state
    editor = f"{resets} {memory.get(resets, 0)}"
    if editor not in memory or shown not in memory:  # the table is new on this page
        memory[shown] = memory.get(edited, usual)
    table = st.data_editor(
        pd.DataFrame(memory[shown], columns=[GROUP, TEMPLATES]),
        key=editor,
        num_rows="dynamic",
        height="content",
        hide_index=True,
        column_config={
            GROUP: st.column_config.TextColumn(width="small", required=True),
            TEMPLATES: st.column_config.TextColumn(width="large", required=True),
        },
    )
    memory[edited] = table.to_dict("records")

    def reset() -> None:
        memory.pop(edited, None)
        memory[resets] = memory.get(resets, 0) + 1

    st.button("Reset the table", icon=":material/restart_alt:", on_click=reset)
    return memory[edited]

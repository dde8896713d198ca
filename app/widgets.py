"""The Train page's groups of widgets; each returns settings and shows no result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pandas as pd
import streamlit as st

from app import jobs, state
from app.settings import (
    GROUP,
    METHOD_LINES,
    METHOD_NAMES,
    SHOTS,
    TEMPLATES,
    check_together,
    data_name,
    duration,
    groups_to_rows,
    rows_to_groups,
)
from mocoop.config import MIXTURES, ClassesChoice, TrainConfig
from mocoop.datasets import BUILTIN, Dataset
from mocoop.presets import preset
from mocoop.runs import default_runs, list_runs


def basic_settings() -> TrainConfig:
    """Returns a method's preset with data set, shots, seed and classes as chosen.

    Raises:
        UserError: if no data set is named.
    """
    data = st.selectbox(
        "Data set",
        BUILTIN,
        key=state.DATA,
        bind=state.QUERY,
        accept_new_options=True,
        help="A built-in set, or type the path of a folder that has one folder of images "
        "for each class.",
    )
    method = st.segmented_control(
        "Method",
        list(METHOD_NAMES),
        format_func=METHOD_NAMES.__getitem__,
        default="mocoop",
        required=True,
        key=state.METHOD,
        bind=state.QUERY,
    )
    method = method or "mocoop"
    st.caption(METHOD_LINES[method])
    shots = st.segmented_control(
        "Training images per class",
        SHOTS,
        default=16,
        required=True,
        key=state.SHOTS,
        bind=state.QUERY,
    )
    classes_column, seed_column = st.columns([5, 3])
    classes = classes_column.segmented_control(
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
    seed = seed_column.number_input(
        "Seed",
        0,
        2**32 - 1,
        1,
        key=state.SEED,
        bind=state.QUERY,
        help="Draws the training images; another seed gives another draw.",
    )
    return replace(
        preset(method),
        data=data_name(data or ""),
        shots=int(shots or 16),
        seed=int(seed),
        classes=classes or "all",
    )


def more_settings(config: TrainConfig) -> TrainConfig:
    """Returns the settings with the less usual ones as chosen, each method keeping its own.

    Raises:
        UserError: for values that do not fit.
    """
    chosen: dict[str, Any] = {}
    with st.expander("More settings"):
        left, right = st.columns(2)
        if config.method != "zero-shot":
            chosen["epochs"] = _number(left, config, "epochs", "Epochs", 1)
            chosen["learning_rate"] = _number(
                right, config, "learning_rate", "Learning rate", 0.001, format="%.4f"
            )
            chosen["batch_size"] = _number(left, config, "batch_size", "Images per step", 8)
            chosen["views"] = _number(
                right, config, "views", "Views per image", 1,
                help="1 is the picture itself; more add random crops and mirror images.",
            )  # fmt: skip
        if config.method == "mocoop":
            chosen["num_chosen"] = _number(
                left, config, "num_chosen", "Experts per image", 1,
                help="K: how many experts the router picks for each image.",
            )  # fmt: skip
            chosen["text_weight"] = _number(
                left, config, "text_weight", "Text loss weight", 0.5,
                help="Keeps every expert close to its group of templates.",
            )  # fmt: skip
            chosen["gate_weight"] = _number(
                right, config, "gate_weight", "Gating loss weight", 0.5,
                help="Teaches the router which templates suit an image.",
            )  # fmt: skip
            chosen["text_classes"] = right.selectbox(
                "Names in text loss",
                ["seen", "all"],
                format_func={"seen": "trained classes", "all": "all classes"}.__getitem__,
                key=_key("text_classes", config),
                persist_state="session",
                help="Matters when only half of the classes are trained.",
            )
        backbone = st.text_input(
            "CLIP",
            config.backbone,
            key=_key("backbone", config),
            persist_state="session",
            help="`demo` is built in. Or an open_clip NAME/TAG such as "
            "`ViT-B-16-quickgelu/openai` (fetched once), or a checkpoint folder.",
        )
        chosen["backbone"] = backbone.strip() or "demo"
    return replace(config, **chosen)


def template_groups(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Returns the settings with the groups of templates as edited in a table.

    Raises:
        UserError: for a table that makes no good groups.
    """
    if config.method not in MIXTURES:
        words = dataset.templates.zero_shot
        st.caption(f"{METHOD_NAMES[config.method]} has one prompt, which starts as “{words}”")
        return config
    usual = dataset.templates.groups
    st.caption(
        "Each row becomes one expert. It starts from the words of its first template; the "
        "others, between bars, help to keep it there. `{}` is where the class name goes."
    )
    groups = rows_to_groups(_template_table(config.data, groups_to_rows(usual)))
    return config if groups == usual else replace(config, groups=groups)


def start_button(config: TrainConfig, dataset: Dataset) -> None:
    """Shows what a training would be and how long it takes, and starts it when asked to.

    Raises:
        UserError: for settings that do not fit the data set.
    """
    num_classes, num_experts = check_together(config, dataset)
    history = list_runs([default_runs()])
    seconds = jobs.estimate_seconds(config, num_classes, num_experts, history)
    waiting = bool(jobs.active_runs())
    if st.button(
        "Add to the queue" if waiting else "Start training",
        key="start",
        type="primary",
        icon=":material/playlist_add:" if waiting else ":material/play_arrow:",
        width="stretch",
    ):
        jobs.start_run(config)
        st.rerun()  # the button and the panel now have something to wait for
    prompts = "1 prompt" if num_experts == 1 else f"{num_experts} experts"
    time = "time unknown with this CLIP" if seconds is None else duration(seconds)
    st.caption(f"{num_classes} classes, {prompts}, {time}")


def _template_table(data: str, usual: list[dict[str, str]]) -> list[dict[str, object]]:
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


def _number(
    place: Any, config: TrainConfig, name: str, label: str, step: float, **options: Any
) -> Any:
    """Returns a number of the same type as the method's preset, from 0 or 1 upwards."""
    usual = getattr(config, name)
    return place.number_input(
        label,
        min_value=type(usual)(0),
        value=usual,
        step=type(usual)(step),
        key=_key(name, config),
        persist_state="session",
        **options,
    )


def _key(name: str, config: TrainConfig) -> str:
    return f"{state.SETTING} {name} {config.method}"

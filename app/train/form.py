"""The groups of widgets on the Train page; they return settings and show no results."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.common import state
from app.common.methods import learns_prompts, menu_label, method_called, start_of
from app.common.words import escape_markdown, rows_to_groups
from app.jobs import estimates, seeds, trainings
from app.jobs.estimates import check_together
from app.train import setting_words, words
from app.train.overfit import default_of
from app.train.panel import status_line
from app.train.recipe import show_recipe
from app.train.settings import SHOTS, with_groups, with_start
from app.train.template_table import Rows
from app.ui.data_picker import pick_data
from app.ui.glossary import words_on_this_page
from app.ui.messages import errors_in_words
from app.ui.run_picker import forget_run
from mocoop.config import ClassesChoice, TrainConfig
from mocoop.datasets import Dataset
from mocoop.datasets.splits import shots_missing
from mocoop.errors import UserError
from mocoop.markdown import markdown_table
from mocoop.methods import MENU, METHODS
from mocoop.model.hard_prompts import expert_groups
from mocoop.presets import preset
from mocoop.runs.run import default_runs, list_runs
from mocoop.shots import shots_value


def basic_settings() -> TrainConfig:
    """Returns the chosen method's preset with the chosen data set, shots, seed and classes.

    Raises:
        UserError: if no data set is chosen.
    """
    data = pick_data()
    method = pick_method()
    defaults = preset(method)
    needs_images = METHODS[method].needs_images
    shots = _pick_shots() if needs_images else defaults.shots
    line = st.container(horizontal=True)  # on a narrow page the seed moves to the next line
    classes = line.segmented_control(
        setting_words.TRAIN_ON,
        get_args(ClassesChoice),
        format_func=setting_words.TRAIN_ON_CHOICES.__getitem__,
        required=True,
        key=state.TRAIN_ON,
        bind=state.QUERY,
        help=setting_words.TRAIN_ON_HELP,
        **default_of(state.TRAIN_ON, default="all"),
    )
    seed = _pick_seed(line) if needs_images else defaults.seed
    return replace(defaults, data=data, shots=shots, seed=seed, classes=classes or "all")


def _pick_shots() -> int:
    shots = st.segmented_control(
        setting_words.SHOTS,
        SHOTS,
        format_func=shots_value,
        required=True,
        key=state.SHOTS,
        bind=state.QUERY,
        **default_of(state.SHOTS, default=16),
    )
    return int(shots or 16)


def _pick_seed(line: DeltaGenerator) -> int:
    seed = line.number_input(
        setting_words.SEED,
        0,
        2**32 - 1,
        width=110,
        key=state.SEED,
        bind=state.QUERY,
        help=setting_words.SEED_HELP,
        **default_of(state.SEED, value=1),
    )
    return int(seed)


def pick_method() -> str:
    """Returns the key of the chosen method; a line explains it."""
    asked = st.query_params.get(state.METHOD, "")
    key = method_called(asked)
    if key is not None and asked != menu_label(METHODS[key]):
        st.query_params[state.METHOD] = menu_label(METHODS[key])  # a link of an earlier version
        st.rerun()
    method = st.selectbox(
        setting_words.METHOD,
        list(MENU),
        format_func=lambda name: menu_label(METHODS[name]),
        key=state.METHOD,
        bind=state.QUERY,
    )
    st.caption(f"{METHODS[method].summary} {METHODS[method].use}")
    return method


def about_the_method(method: str) -> None:
    """Shows the buttons that explain all methods and a method's published recipe."""
    with st.container(gap="xsmall"):
        if st.button(setting_words.WHICH_METHOD, icon=":material/help:", type="tertiary"):
            explain_methods()
        if METHODS[method].published.settings and st.button(
            setting_words.IS_PUBLISHED, icon=":material/menu_book:", type="tertiary"
        ):
            show_recipe(METHODS[method])
        words_on_this_page("expert", "group", "hard prompt", "router", "style")


@st.dialog(setting_words.WHICH_METHOD, width="large")
@errors_in_words()
def explain_methods() -> None:
    """Shows what every method does and when it is useful."""
    rows: list[tuple[str, ...]] = []
    family = ""
    for method in MENU.values():
        if method.family != family:
            family = method.family
            rows.append((f"*{family}*", "", ""))
        rows.append((f"**{method.label}**", method.summary, method.use))
    with st.container(height=480, border=False):  # keeps the dialog's end on the screen
        st.markdown(markdown_table(setting_words.METHOD_COLUMNS, rows))


def apply_templates(config: TrainConfig, dataset: Dataset, rows: Rows | None) -> TrainConfig:
    """Returns the settings with the edited groups; explains a method that has no groups.

    Raises:
        UserError: if the table does not form valid groups.
    """
    templates = dataset.templates
    if rows is not None:
        return with_groups(config, rows_to_groups(rows, templates.groups), templates.groups)
    label = METHODS[config.method].label
    if METHODS[config.method].learns_prompts:
        sentence = st.text_input(
            setting_words.START,
            key=state.START,
            bind=state.QUERY,
            placeholder=templates.zero_shot,
            max_chars=4000,
            help=setting_words.START_HELP,
        )
        if sentence.strip():
            try:
                config = with_start(config, sentence, templates)
            except UserError as error:  # it repeats what was typed, which is not Markdown
                raise UserError(escape_markdown(str(error))) from error
    (used,) = expert_groups(config, templates).values()
    start = used[0] if config.groups else templates.zero_shot
    st.caption(escape_markdown(setting_words.no_groups(label, start_of(config, start))))
    if len(used) > 1:
        st.caption(escape_markdown(setting_words.hard_templates(used)))
    return config


def start_button(config: TrainConfig, dataset: Dataset) -> None:
    """Shows the button that starts a training, its expected time, and its size.

    Raises:
        UserError: for settings that do not fit the data set.
    """
    size = check_together(config, dataset)
    seconds = estimates.estimate_seconds(config, size, list_runs([default_runs()]))
    waiting = bool(trainings.active_runs())
    untrained = METHODS[config.method].learns == "nothing"
    begin = setting_words.TEST_IT if untrained else setting_words.START_TRAINING
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            setting_words.ADD_TO_QUEUE if waiting else begin,
            key="start",
            type="primary",
            icon=":material/playlist_add:" if waiting else ":material/play_arrow:",
        ):
            trainings.start_run(config)
            forget_run()
            st.rerun()  # so that the button and the panel show the new training
        st.caption(words.time_needed(seconds))
    status_line()
    if METHODS[config.method].needs_images:
        _three_seeds_button(config, seconds)
    experts = size.experts if learns_prompts(config) else None
    images = size.images if config.style else None
    st.caption(setting_words.size(size.classes, experts, images))
    typed = str(st.session_state.get(state.START) or "").strip()
    method = METHODS[config.method]
    if typed and method.learns_prompts and not method.is_mixture:
        st.caption(escape_markdown(setting_words.your_sentence(typed)))
    missing = shots_missing(config, size.classes, size.images)
    if missing is not None and METHODS[config.method].needs_images:
        st.caption(f":material/info: {missing}")


def _three_seeds_button(config: TrainConfig, seconds: float | None) -> None:
    """Offers to train the seeds 1 to 3 that are missing, with the time that they take."""
    missing = seeds.missing_seeds(config)
    left = len(missing)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            words.THREE_SEEDS,
            key="three seeds",
            icon=":material/filter_3:",
            disabled=left == 0,
            help=words.THREE_SEEDS_HELP,
        ):
            seeds.start_seeds(config)
            forget_run()
            st.rerun()
        total = None if seconds is None else left * seconds
        told = words.seeds_to_train(missing, seeds.SEEDS, words.time_needed(total))
        st.caption(told if left else words.SEEDS_DONE)

"""Chooses methods, and shows their answers for one picture in a row of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import streamlit as st
from PIL import Image

from app.caches import answers as answer_caches
from app.caches import run_list
from app.caches import runs as run_caches
from app.caches.pictures import picture_feature, plain_feature
from app.common import state
from app.common.methods import method_name
from app.common.run_differences import differing_settings
from app.common.theme import METHOD_COLOURS, NEUTRAL, expert_colours
from app.common.words import more_differs
from app.side_by_side import words
from app.side_by_side.tables import Column, answers_table, in_words
from app.ui import chips, layout
from app.ui.parts import csv_button
from app.ui.prompt_box import prompt_box
from mocoop.classifiers.base import Classifier, Routed
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.methods import MENU, METHODS
from mocoop.runs.run import Run

MARK = ":"  # before the key of a method without a run; no folder of a run begins with it
DEFAULT_COLUMNS, MOST = 5, 8


def beside_run(
    run: Run,
    image: Image.Image,
    truth: str | None,
    name: str,
    labels: range | None = None,
    seen_by: Callable[[Run], Image.Image] | None = None,
) -> None:
    """Shows the answers of a run, of other runs and of methods without training for a picture.

    Args:
        run: the run that is looked at; it comes first.
        image: the picture, RGB.
        truth: its true class, if that is known.
        name: name of the row, unique on the page.
        labels: the classes that can be predicted; by default all.
        seen_by: returns the picture as another run sees it; by default all see the same.
    """
    config = run_list.setup_of(run).config
    st.markdown(words.TITLE)
    left, right = layout.wrapping_columns([3, 2], f"pick-{name}")
    with left:
        chosen, runs = pick_methods(run)
    with right:
        template = prompt_box(config, words.OWN_PROMPT)
    shown = {run.name: run} | {key: runs[key] for key in chosen if key in runs}
    notes = run_list.labels_of(shown)  # of all at once, so that they differ
    columns = [run_column(run, image, labels, notes[run.name])]
    if template is not None:
        columns.append(typed_column(config, template, image, labels))
    for key in chosen:
        if key.startswith(MARK):
            columns.append(untrained_column(config, key.removeprefix(MARK), image, labels))
        else:
            columns.append(run_column(runs[key], image, labels, notes[key], seen_by))
    if differs := more_differs(differing_settings(configs_of(shown))):
        st.caption(f":material/info: {differs}")
    row(columns, truth, name)


def configs_of(runs: Mapping[str, Run]) -> dict[str, TrainConfig]:
    """Returns the settings of runs by name, without those that were deleted in the meantime."""
    found = {}
    for name, run in runs.items():
        with suppress(UserError):
            found[name] = run_list.setup_of(run).config
    return found


def pick_methods(run: Run) -> tuple[list[str], dict[str, Run]]:
    """Returns the keys of the chosen methods, and the runs that can be chosen, by name.

    The choice is in the address, so that a link restores it.
    """
    runs = same_data(run)
    options = [*(MARK + method for method in answer_caches.UNTRAINED), *runs]
    asked = st.query_params.get_all(state.BESIDE)
    gone = [key for key in asked if key and key not in (*options, run.name)]
    chosen = [key for key in asked if key in options] if asked else usual(run, runs)
    st.session_state[state.BESIDE] = chosen[: MOST - 1]
    labels = run_list.labels_of(runs)

    def write() -> None:
        # An empty choice is written too: without any, the address would mean the usual ones.
        st.query_params[state.BESIDE] = st.session_state[state.BESIDE] or [""]

    picked = st.multiselect(
        words.OTHERS,
        options,
        format_func=lambda key: called(key, labels),
        key=state.BESIDE,
        on_change=write,
        max_selections=MOST - 1,
        placeholder=words.OTHERS_HINT,
    )
    for key in gone:
        st.caption(words.gone(key))
    return picked, runs


def called(key: str, labels: Mapping[str, str]) -> str:
    """Returns the label of a method without a run, or of a run."""
    return METHODS[key.removeprefix(MARK)].label if key.startswith(MARK) else labels[key]


def same_data(run: Run) -> dict[str, Run]:
    """Returns the other finished runs with the same data set and classes, newest first."""
    setup = run_list.setup_of(run)
    same: dict[str, Run] = {}
    for other in run_list.finished_runs():
        try:
            found = run_list.setup_of(other)
        except UserError:  # it was deleted in the meantime, or is damaged
            continue
        if other.name == run.name:
            continue
        if (found.config.data, found.class_names) == (setup.config.data, setup.class_names):
            same[other.name] = other
    return same


def usual(run: Run, runs: Mapping[str, Run]) -> list[str]:
    """Returns the methods to start with: those without training, then the newest run of each.

    Runs with the same training images per class and the same classes come before others.
    """
    own = run_list.setup_of(run).config
    found: dict[str, tuple[bool, int, str]] = {}  # method → sort key with the run's name
    for name, other in runs.items():
        try:
            config = run_list.setup_of(other).config
        except UserError:  # it was deleted in the meantime
            continue
        alike = (config.shots, config.classes, config.style) == (own.shots, own.classes, own.style)
        rank = (not alike, list(MENU).index(config.method), name)
        if config.method not in found or found[config.method][0] > rank[0]:
            found[config.method] = rank
    both = [MARK + method for method in answer_caches.UNTRAINED]
    return [*both, *(name for *_, name in sorted(found.values()))][: DEFAULT_COLUMNS - 1]


def run_column(
    run: Run,
    image: Image.Image,
    labels: range | None = None,
    label: str = "",
    seen_by: Callable[[Run], Image.Image] | None = None,
) -> Column:
    """Returns a run's answer, or why it has none: it may have been deleted just now.

    Args:
        run: the run.
        image: the picture, RGB.
        labels: the classes that can be predicted; by default all.
        label: the run's label beside others; by default that of its settings.
        seen_by: returns the picture as this run sees it; by default that is `image`.
    """
    try:
        setup = run_list.setup_of(run)
        title, colour = method_name(setup.config), METHOD_COLOURS[setup.config.method]
        label = label or run_list.labels_of({run.name: run})[run.name]
        note = label.replace(f"{title} · ", "", 1)
    except UserError as error:
        return Column(run.name, "", NEUTRAL, problem=str(error))
    try:
        run.require_finished()
        classifier = run_caches.classifier(run)
        if labels is None and setup.knows_trained_only:
            note = words.with_classes(note, setup.trained_classes)
        own = image if seen_by is None else seen_by(run)
        routed = _among(classifier, labels).classify(picture_feature(run, own)[None])
    except UserError as error:
        return Column(title, note, colour, problem=str(error))
    return Column(title, note, colour, routed)


def untrained_column(
    config: TrainConfig, method: str, image: Image.Image, labels: range | None = None
) -> Column:
    """Returns the answer of a method without training, with a run's CLIP and data set."""
    label, colour = METHODS[method].label, METHOD_COLOURS[method]
    try:
        classifier = answer_caches.untrained(config.backbone, config.data, method)
        routed = _hard_answer(config, classifier, image, labels)
    except UserError as error:
        return Column(label, "", colour, problem=str(error))
    return Column(label, words.NO_TRAINING, colour, routed)


def typed_column(
    config: TrainConfig, template: str, image: Image.Image, labels: range | None = None
) -> Column:
    """Returns the answer of a typed prompt, with a run's CLIP and the classes of its data set."""
    classifier = answer_caches.typed(config.backbone, config.data, template)
    routed = _hard_answer(config, classifier, image, labels)
    return Column(words.YOUR_PROMPT, template, NEUTRAL, routed)


def row(columns: Sequence[Column], truth: str | None, name: str) -> None:
    """Shows one column per method: prediction, probabilities, and a mixture's experts."""
    said = in_words(columns, truth)
    with st.container(horizontal=True, vertical_alignment="center"):
        if said:
            st.caption(said, width="content")
        csv_button(answers_table(columns), f"methods-{name}")
    with layout.tiles("card", f"methods-{name}"):
        for column in columns:
            with st.container(border=True, gap="xsmall", height="stretch"):
                st.html(column_html(column, truth))


def column_html(column: Column, truth: str | None) -> str:
    """Returns one method's answer as HTML."""
    title = chips.small_title(column.title, column.note, column.colour)
    if not column.best:
        return title + chips.quiet(column.problem)
    name, probability = column.best[0]
    html = title + chips.verdict(name, probability, truth)
    html += chips.class_bars(column.best, truth, column.colour)
    if column.experts and column.routed is not None:
        colours = expert_colours(column.routed.experts)
        html += chips.quiet(words.EXPERTS) + chips.expert_chips(column.experts, colours)
    return html


def _hard_answer(
    config: TrainConfig, classifier: Classifier, image: Image.Image, labels: range | None
) -> Routed:
    feature = plain_feature(config.backbone, config.precision, image)
    return _among(classifier, labels).classify(feature[None])


def _among(classifier: Classifier, labels: range | None) -> Classifier:
    """Returns a classifier restricted to some classes; None keeps it as it is."""
    return classifier if labels is None else classifier.subset(labels)

"""The tab that compares runs of one data set on the same test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app.caches import answers as answer_caches
from app.caches import data as data_caches
from app.caches import run_list
from app.caches.run_list import is_listed
from app.common import state
from app.common.run_differences import differing_settings, short_labels
from app.common.theme import METHOD_COLOURS
from app.common.words import escape_markdown, more_differs
from app.compare import beside_figures, beside_tables, words
from app.compare.documents import report_button
from app.ui import chips, layout
from app.ui import words as ui_words
from app.ui.item_picture import show_item
from app.ui.parts import csv_button, pick_page, show_figure, show_table
from app.ui.pictures import brighten_switch
from mocoop.datasets import Dataset
from mocoop.errors import UserError
from mocoop.evaluation.side_by_side import (
    Answers,
    SideBySide,
    common_choices,
    comparable,
    line_up,
)
from mocoop.methods import METHODS
from mocoop.runs.run import Run, RunSetup
from mocoop.runs.status import FINISHED

PER_PAGE = 12
SIDE = 192  # pixels of a thumbnail
MAX_RUNS = 8
NUMBER = st.column_config.NumberColumn
PAIRS = {
    "won": NUMBER(words.IMAGES_WON),
    "lost": NUMBER(words.IMAGES_LOST),
    "difference": NUMBER(words.DIFFERENCE, format="%+.1f"),
    "low": NUMBER(words.FROM, format="%+.1f"),
    "high": NUMBER(words.TO, format="%+.1f"),
    "p": NUMBER(words.P_VALUE, format="%.3g"),
}


def beside(picked: Sequence[str], runs: Mapping[str, Run]) -> None:
    """Shows how the selected runs compare on the same test images.

    Args:
        picked: names of the selected runs.
        runs: all runs by name.
    """
    if not picked:
        st.info(words.SELECT_ONE, icon=":material/view_column:")
        return
    setups = finished_setups(picked[:MAX_RUNS], runs)
    if len(picked) > MAX_RUNS:
        st.caption(words.only_compared(MAX_RUNS, len(picked)))
    kept, notes = comparable(setups)
    for note in notes:
        st.warning(escape_markdown(note), icon=":material/call_split:")
    if not kept:
        return
    setups = {name: setups[name] for name in kept}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        choice = pick_choice(common_choices(list(setups.values())))
        also = st.pills(
            words.WITHOUT_TRAINING,
            answer_caches.UNTRAINED,
            selection_mode="multi",
            default=answer_caches.UNTRAINED[:1],
            format_func=lambda key: METHODS[key].label,
            key=state.BESIDE_UNTRAINED,
            bind=state.QUERY,
        )
    configs = {name: setup.config for name, setup in setups.items()}
    names = short_labels(configs)
    if differs := more_differs(differing_settings(configs)):
        st.caption(f":material/info: {differs}")
    found, colours = all_answers(setups, names, runs, choice, also)
    if len(found) < 2:
        st.info(words.NOTHING_LEFT)
        return
    try:
        lined = line_up(found)
    except UserError as error:
        st.warning(escape_markdown(str(error)), icon=":material/call_split:")
        return
    if lined.left_out:
        st.caption(words.images_left_out(lined.left_out))
    summary(lined, colours)
    report_button({name: runs[name] for name in kept}, lined, "beside")
    first, second = pick_pair(lined)
    compared = {names[name]: runs[name] for name in setups if names[name] in found}
    looker = Looker.of(compared, choice, (lined.names[first], lined.names[second]))
    gallery(lined, first, second, next(iter(setups.values())).config.data, looker)


def finished_setups(picked: Sequence[str], runs: Mapping[str, Run]) -> dict[str, RunSetup]:
    """Returns the setups of the finished runs; shows why the others are not compared."""
    setups = {}
    for name in picked:
        try:
            if name not in runs:
                raise UserError(f"There is no run {name!r}: it was deleted or renamed.")
            status = runs[name].status()
            if status.state != FINISHED:
                done = f", epoch {status.epoch} of {status.epochs}" if status.epochs else ""
                raise UserError(
                    f"{name} is {status.state}{done}: it can be compared when it is finished."
                )
            setups[name] = run_list.setup_of(runs[name])
        except UserError as error:
            st.warning(escape_markdown(str(error)), icon=":material/hourglass_empty:")
    return setups


def pick_choice(choices: Sequence[str]) -> str:
    """Returns the classes on which the runs are compared."""
    if len(choices) == 1:
        st.caption(words.only_classes(choices[0]))
        return choices[0]
    # Other runs start with other classes: the key keeps their widgets apart.
    chosen = st.segmented_control(
        words.TEST_CLASSES,
        choices,
        default=choices[0],
        required=True,
        format_func=words.CLASS_CHOICES.__getitem__,
        key=f"{state.BESIDE_CLASSES}_{choices[0]}",
        bind=state.QUERY,
        help=words.TEST_CLASSES_HELP,
    )
    return str(chosen)


def all_answers(
    setups: Mapping[str, RunSetup],
    names: Mapping[str, str],
    runs: Mapping[str, Run],
    choice: str,
    also: Sequence[str],
) -> tuple[dict[str, Answers], dict[str, str]]:
    """Returns method → answers, and method → colour; shows why a run has no answers."""
    found: dict[str, Answers] = {}
    colours: dict[str, str] = {}
    for name, setup in setups.items():
        try:
            found[names[name]] = answer_caches.run_answers(runs[name], choice)
        except UserError as error:
            st.warning(escape_markdown(f"{name}: {error}"), icon=":material/error:")
            continue
        colours[names[name]] = METHOD_COLOURS[setup.config.method]
    config = next(iter(setups.values())).config
    clips = {setup.config.backbone for setup in setups.values()}
    if len(clips) > 1:
        st.caption(words.other_clips(sorted(clips), config.backbone))
    for method in also:
        label = METHODS[method].label
        try:
            answers = answer_caches.untrained_answers(config.backbone, config.data, method, choice)
        except UserError as error:
            st.warning(escape_markdown(f"{label}: {error}"), icon=":material/error:")
            continue
        title = label if label not in found else words.no_run_variant(label)
        found[title], colours[title] = answers, METHOD_COLOURS[method]
    return found, colours


def summary(lined: SideBySide, colours: Mapping[str, str]) -> None:
    """Shows accuracies with intervals, all pairs, and how often methods agree."""
    table = beside_tables.accuracy_table(lined)
    left, right = layout.wrapping_columns([3, 2], "beside")
    with left:
        st.markdown(words.accuracy_title(len(lined.items)))
        figure = beside_figures.accuracy_intervals(table, colours)
        show_figure(figure, "side-by-side", words.ACCURACY_ALT, table)
    with right:
        st.markdown(words.SAME_PREDICTION)
        agree = beside_tables.agreement_table(lined)
        columns = {name: NUMBER(format="%.0f %%", width=60) for name in agree.columns}
        show_table(agree, "agreement", hide_index=False, column_config=columns)
    if len(lined.names) > 2:
        with st.expander(words.ALL_PAIRS):
            show_table(beside_tables.pairs_table(lined), "pairs", column_config=PAIRS)


def pick_pair(lined: SideBySide) -> tuple[int, int]:
    """Returns the indices of the two methods to compare, and says how they compare."""
    first, second = 0, 1
    if len(lined.names) > 2:
        left, right = st.columns(2)
        options = list(lined.names)
        chosen = left.selectbox(words.COMPARE, options, key=state.BESIDE_FIRST, bind=state.QUERY)
        rivals = [name for name in options if name != chosen]
        rival = right.selectbox(words.WITH, rivals, key=state.BESIDE_SECOND, bind=state.QUERY)
        first, second = options.index(chosen), options.index(rival)
    test = lined.pair(first, second)
    verdict = words.pair(lined.names[first], lined.names[second], test)
    st.markdown(escape_markdown(verdict), help=words.PAIR_HELP)
    return first, second


@dataclass(frozen=True)
class Looker:
    """Opens images on Routing with one of the compared runs.

    Args:
        label: of the run.
        address: the parameters of Routing's address, without the image.
    """

    label: str
    address: Mapping[str, str | Sequence[str]]

    @staticmethod
    def of(runs: Mapping[str, Run], choice: str, pair: Sequence[str]) -> Looker | None:
        """Returns what opens images with the first run of a pair; None if Routing lists no run.

        Args:
            runs: label → run, of all that are compared.
            choice: the classes on which they are compared.
            pair: the labels of the two methods that are compared in words; one may have no run.
        """
        listed = {label: run.name for label, run in runs.items() if is_listed(run)}
        first = next((label for label in (*pair, *listed) if label in listed), None)
        if first is None:
            return None
        others = [name for label, name in listed.items() if label != first]
        address: dict[str, str | Sequence[str]] = {state.RUN: listed[first], state.BESIDE: others}
        if run_list.setup_of(runs[first]).config.classes != "all":
            address[state.CLASSES] = words.CLASS_CHOICES[choice]  # Streamlit writes the label
        return Looker(first, address)

    def button(self, number: int, item_id: str) -> None:
        """Shows the button below an image."""
        if st.button(
            ui_words.look_closer(number),
            key=f"look-beside-{item_id}",
            icon=":material/zoom_in:",
            width="stretch",
            help=words.look_with(self.label),
        ):
            st.session_state.pop(state.CLOSED_IMAGE, None)
            st.switch_page("pages/routing.py", query_params={**self.address, state.IMAGE: item_id})


def gallery(lined: SideBySide, first: int, second: int, data: str, looker: Looker | None) -> None:
    """Shows the chosen images with the answer of every method, one page at a time."""
    options = beside_tables.filters(lined.names, first, second)
    left, right = st.columns(2, vertical_alignment="bottom")
    wanted = left.selectbox(
        words.IMAGES_ON_WHICH, options, key=state.BESIDE_SHOW, bind=state.QUERY
    )
    rows = beside_tables.chosen_images(lined, wanted, first, second)
    styles = list(dict.fromkeys(item.style for item in lined.items if item.style))
    style = None
    if styles:
        style = right.selectbox(
            words.TRUE_STYLE,
            styles,
            index=None,
            placeholder=words.ANY,
            key=state.BESIDE_STYLE,
            bind=state.QUERY,
        )
    if style is not None:
        rows = rows[[lined.items[index].style == style for index in rows]]
    pages = max(1, -(-len(rows) // PER_PAGE))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(words.images_shown(len(rows), len(lined.items)), width="content")
        page = pick_page(pages, state.BESIDE_PAGE)
        csv_button(beside_tables.images_table(lined, rows), "side-by-side-images")
        brighten_switch()
    start, dataset = (page - 1) * PER_PAGE, data_caches.dataset(data)
    with layout.tiles("card", "beside"):
        for index in rows[start : start + PER_PAGE]:
            with st.container(border=True, gap="xsmall", height="stretch"):
                card(lined, int(index), dataset)
                if looker is not None:
                    looker.button(int(index) + 1, lined.items[index].id)


def card(lined: SideBySide, index: int, data: Dataset) -> None:
    """Shows one image with the answer of every method."""
    item, truth = lined.items[index], lined.class_names[lined.labels[index]]
    show_item(data, item, SIDE, ui_words.test_image(truth, item.style))
    described = ui_words.truth(ui_words.with_style(truth, item.style))
    st.caption(escape_markdown(described))
    lines = [
        chips.right_or_wrong(
            name,
            lined.class_names[lined.predicted[method, index]],
            float(lined.probability[method, index]),
            bool(lined.right[method, index]),
        )
        for method, name in enumerate(lined.names)
    ]
    st.html("".join(lines))

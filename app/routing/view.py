"""Parts of the Routing page: overview, gallery of test images, tables, value of routing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import streamlit as st

from app.caches import data as data_caches
from app.caches import run_list
from app.caches.pictures import picture_feature
from app.common import galleries, state
from app.common.methods import how_it_answers, method_name
from app.common.theme import expert_colours
from app.routing import cached, figures, tables, why_words, words
from app.routing.class_view import class_numbers
from app.routing.looking_view import look_into
from app.routing.neighbour_view import nearest_training_images
from app.side_by_side.view import beside_run
from app.ui import chips, layout
from app.ui import words as ui_words
from app.ui.item_picture import show_item
from app.ui.messages import errors_in_words
from app.ui.parts import csv_button, pick_page, show_figure, show_table
from app.ui.pictures import brighten_switch
from app.ui.safe_markdown import as_option
from app.ui.words import test_image
from mocoop.classifiers.base import Routed
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.evaluation.evaluate import Evaluation, RoutedItems
from mocoop.markdown import literal
from mocoop.methods import METHODS
from mocoop.runs.chosen_on_test import chosen_on_test, in_words
from mocoop.runs.expert_steps import choice_in_words
from mocoop.runs.run import Run, RunSetup

PER_PAGE = 12
SIDE, LARGE = 192, 320  # pixels of a thumbnail, and of the picture in the dialog
RIGHT = {"right": st.column_config.ProgressColumn(words.RIGHT, format="%.0f %%", max_value=100)}
OWN = {
    "score": st.column_config.NumberColumn(words.RAW_SCORE, format="%.2f"),
    "share": st.column_config.NumberColumn(words.PREFERENCE, format="%.1f %%"),
    "weight": st.column_config.NumberColumn(words.WEIGHT, format="%.1f %%"),
    "probability": st.column_config.NumberColumn(words.PROBABILITY, format="%.1f %%"),
}
"""Columns of the experts' table; the shares of 1 are shown in percent."""


def pick_classes(setup: RunSetup) -> str:
    """Returns the choice of classes: all, or for a run on the base half base, new or all."""
    if setup.config.classes == "all":
        return "all"
    if setup.knows_trained_only:
        st.caption(words.trained_only(method_name(setup.config)))
        return "base"
    return st.segmented_control(
        words.CLASSES,
        ["base", "new", "all"],
        default="base",
        required=True,
        format_func=words.CLASS_CHOICES.__getitem__,
        key=state.CLASSES,
        bind=state.QUERY,
        help=words.CLASSES_HELP,
    )


def overview(
    run: Run,
    config: TrainConfig,
    tested: RoutedItems,
    table: pd.DataFrame,
    result: Evaluation,
) -> None:
    """Shows accuracy, a summary of the routing, and the share of images per expert."""
    nmi = result.style_nmi
    several = len(tested.routed.experts) > 1
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(gap="xsmall"):
        wrong = int((~table["right"]).sum())
        first, second = st.columns(2)
        first.metric(words.ACCURACY, f"{100 * table['right'].mean():.1f} %")
        if nmi is not None:
            second.metric(words.MATCH_STYLES, words.nmi_value(nmi), help=words.MATCH_STYLES_HELP)
        class_numbers(result)
        chosen = chosen_on_test(config, run.results())
        if chosen:
            st.warning(in_words(chosen), icon=":material/info:")
        untrained = run.results().get(result.classes, {}).get("zero_shot")
        guessing = 100 / len(tested.routed.class_names)
        st.caption(
            words.how_many_wrong(len(table), wrong, untrained, guessing),
            help=words.ZERO_SHOT_HELP,
        )
        if nmi is not None:
            text = words.nmi_in_words(nmi)
            st.caption(f"{text[0].upper()}{text[1:]}. {tables.styles_in_words(table)}")
    with right:
        if several:
            usage = tables.usage_table(tested)
            st.markdown(words.WHICH_CHOSEN)
            figure = figures.usage_bars(usage, expert_colours(tested.routed.experts))
            show_figure(figure, "experts", words.WHICH_CHOSEN_ALT, usage)
        else:
            method = None if METHODS[config.method].is_mixture else method_name(config)
            st.info(words.no_router(method, how_it_answers(config)))
        if steps := run_list.setup_of(run).expert_steps:
            st.caption(literal(choice_in_words(steps)))


@dataclass
class Closer:
    """Opens the dialog of a run's test image, at most once in a run of the page.

    A card opens it without running the rest of the page; the page opens that of the address.
    """

    run: Run
    config: TrainConfig
    tested: RoutedItems
    is_open: bool = False

    @cached_property
    def data(self) -> Dataset:
        """The run's data set."""
        return data_caches.dataset(self.config.data)

    def open(self, index: int) -> None:
        """Opens the dialog of the test image with this index."""
        self.is_open = True
        look_closer(self.run, self.config, self.tested, index)


def gallery(closer: Closer, table: pd.DataFrame) -> None:
    """Shows the filtered and sorted test images as cards, one page at a time."""
    tested = closer.tested
    shown = galleries.select_images(table, gallery_filter(tested.routed, table))
    if shown.empty:
        st.info(words.NO_MATCH)
        return
    pages = -(-len(shown) // PER_PAGE)
    bar = st.container(horizontal=True, vertical_alignment="center")
    with bar:
        st.caption(words.images_shown(len(shown), len(table)), width="content")
        page = pick_page(pages, state.PAGE)
        csv_button(galleries.gallery_csv(shown), "images")
        brighten_switch()
    start = (page - 1) * PER_PAGE
    rows = shown.iloc[start : start + PER_PAGE]
    colours = expert_colours(tested.routed.experts)
    with layout.tiles("card", "images"):
        for _, row in rows.iterrows():
            with st.container(border=True, gap="xsmall", height="stretch"):
                card(closer, row, colours)


def gallery_filter(routed: Routed, table: pd.DataFrame) -> galleries.GalleryFilter:
    """Returns the filters and the order that the user chose."""
    several, styles = len(routed.experts) > 1, list(dict.fromkeys(table["style"].dropna()))
    columns = iter(st.columns(3 + several + bool(styles), vertical_alignment="bottom"))

    def pick(label: str, options: Sequence[str], key: str) -> str | None:
        return next(columns).selectbox(
            label, options, index=None, placeholder=words.ANY, key=key, bind=state.QUERY
        )

    expert = pick(words.CHOSEN_EXPERT, routed.experts, state.ONLY_EXPERT) if several else None
    style = pick(words.TRUE_STYLE, styles, state.ONLY_STYLE) if styles else None
    class_name = pick(words.TRUE_CLASS, routed.class_names, state.ONLY_CLASS)
    outcome = pick(words.PREDICTION, galleries.OUTCOMES, state.OUTCOME)
    order = next(columns).selectbox(
        words.ORDER, galleries.ORDERS, key=state.ORDER, bind=state.QUERY
    )
    return galleries.GalleryFilter(expert, style, class_name, outcome, order)


def card(
    closer: Closer,
    row: pd.Series,
    colours: Mapping[str, str],
    gallery_name: str = "all",
) -> None:
    """Shows one test image with its prediction and its experts.

    Args:
        closer: opens the image's dialog.
        row: the image's row in the gallery's table.
        colours: expert → colour.
        gallery_name: name of the gallery that shows the card, which makes the button's key unique.
    """
    tested = closer.tested
    item = tested.items[row["row"]]
    show_item(closer.data, item, SIDE, test_image(row["true"], row["style"]))
    html = chips.verdict(row["predicted"], row["probability"], row["true"])
    if len(tested.routed.experts) > 1:
        pairs = list(zip(row["experts"], row["weights"], strict=True))
        html += chips.expert_chips(pairs, colours)
    st.html(html)
    look_button(closer, row["row"], f"look-{gallery_name}-{item.id}")


@st.fragment
@errors_in_words()
def look_button(closer: Closer, index: int, key: str) -> None:
    """Shows the button that opens an image's dialog; the page does not run again for it."""
    if st.button(
        ui_words.look_closer(index + 1),
        key=key,
        icon=":material/zoom_in:",
        width="stretch",
        on_click=open_image,
        args=(closer.tested.items[index].id,),
    ):
        closer.open(index)


def open_image(item_id: str) -> None:
    """Writes the image into the address, so that a link opens the dialog too."""
    st.session_state.pop(state.CLOSED_IMAGE, None)
    st.query_params[state.IMAGE] = item_id


def close_image() -> None:
    """Removes the image from the address."""
    if state.IMAGE in st.query_params:
        del st.query_params[state.IMAGE]


def try_image() -> None:
    """Opens the tab in which the image of the dialog can be changed.

    The image stays in the address, because the tab shows it, but its dialog stays closed.
    """
    st.session_state[state.VIEW] = words.TRY
    st.session_state[state.CLOSED_IMAGE] = st.query_params.get(state.IMAGE)


@st.dialog(ui_words.LOOK_CLOSER, width="large", on_dismiss=close_image)
@errors_in_words()
def look_closer(run: Run, config: TrainConfig, tested: RoutedItems, index: int) -> None:
    """Shows prediction and routing of one test image; the user can force one expert."""
    item, routed = tested.items[index], tested.routed
    truth = routed.class_names[int(tested.labels[index])]
    several, data = len(routed.experts) > 1, data_caches.dataset(config.data)
    left, right = st.columns([1, 2], gap="medium")
    with left:
        show_item(data, item, LARGE, test_image(truth, item.style))
        st.caption(words.true_class(truth, item.style))
        if st.button(words.CHANGE_PICTURE, icon=":material/tune:", on_click=try_image):
            st.rerun()
        forced = None
        if several:
            forced = st.pills(
                words.ONE_EXPERT,
                routed.experts,
                format_func=as_option,
                key=state.FORCED,
                bind=state.QUERY,
                wrap=True,
            )
    with right:
        one = routed if forced is None else routed.forced(routed.experts.index(forced))
        best = tables.top_classes(one, index)
        method = None if several else method_name(config)
        st.markdown(words.predicts(method, forced, best["class"][0], truth))
        if several:
            experts = tables.experts_table(routed, index)
            if forced is None and best["class"][0] != truth:
                st.markdown(why_words.why_wrong(*tables.right_experts(experts, truth)))
        figure = figures.class_bars(best, truth)
        show_figure(figure, "closer-classes", words.CLASSES_ALT, best)
        if several:
            figure = figures.score_bars(experts, expert_colours(routed.experts))
            show_figure(figure, "closer-scores", words.PREFERENCE_ALT, experts)
    if several:
        if config.conditional:
            st.caption(words.WITHOUT_VECTOR)
        with st.expander(words.EACH_ALONE):
            shares = ["share", "weight", "probability"]
            in_percent = experts.assign(**{name: 100 * experts[name] for name in shares})
            show_table(in_percent, "experts-of-image", column_config=OWN)
    first = item.label - int(tested.labels[index])  # the labels that could be predicted
    labels = range(first, first + len(routed.class_names))
    picture = data.image(item)
    look_into(run, picture, labels)
    beside_run(run, picture, truth, "closer", labels)
    nearest_training_images(run, picture_feature(run, picture))


def count_tables(tested: RoutedItems, table: pd.DataFrame) -> None:
    """Shows how experts go with styles and classes, and the accuracy by style and class."""
    experts, classes = tested.routed.experts, tested.routed.class_names
    styles = tuple(dict.fromkeys(table["style"].dropna()))
    kinds = [("style", "style", styles)] if styles else []
    for by, called, names in [*kinds, ("true", "class", classes)]:
        if len(experts) > 1:
            counts = tables.expert_counts(table, by, experts, names)
            st.markdown(words.experts_by(called))
            alt = words.experts_by_alt(called)
            name = f"experts-by-{called}"
            show_figure(figures.count_map(counts, called), name, alt, counts, index=True)
        right = tables.accuracy_by(table, by)
        st.markdown(words.accuracy_by(called))
        alt = words.accuracy_by_alt(called)
        show_figure(figures.accuracy_bars(right), f"right-by-{called}-figure", alt)
        with st.expander(words.as_table(called)):
            show_table(right, f"right-by-{called}", column_config=RIGHT)


def value_of_routing(run: Run, choice: str) -> None:
    """Shows the router's accuracy, that of choices without a router, and an upper bound."""
    value = cached.value_of_routing(run, choice)
    table = tables.routing_value_table(value)
    st.markdown(words.value_of_routing(value))
    setup = run_list.setup_of(run)
    trained, known = setup.trained_classes, len(setup.class_names)
    counts = {"all": known, "base": trained, "new": known - trained}
    st.caption(words.tested_on(choice, counts[choice]))
    figure = figures.routing_value_bars(table)
    show_figure(figure, "value-of-routing-figure", words.VALUE_ALT)
    show_table(
        table,
        "value-of-routing",
        column_config={"accuracy": st.column_config.NumberColumn(format="%.1f %%")},
    )

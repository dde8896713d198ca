"""Parts of the Prompt space page: drift in numbers, and the details of a point."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.caches import data as data_caches
from app.caches import run_list
from app.caches import runs as run_caches
from app.common import access, state
from app.common.methods import how_it_answers, method_name
from app.common.theme import expert_colours
from app.prompt_space import cached, figures, tables, words
from app.ui import layout
from app.ui.item_picture import show_item
from app.ui.linked import linked_select
from app.ui.loading import loading
from app.ui.parts import show_figure, show_table
from app.ui.pictures import brighten_switch
from app.ui.words import test_image
from mocoop.config import TrainConfig
from mocoop.datasets import Item
from mocoop.runs.run import Run, RunSetup

THUMBNAILS, SIDE = 12, 128  # number of images; width in pixels, twice that of a scene
DRIFT_COLUMNS = {
    "expert": st.column_config.TextColumn(width=120),
    "own cosine": st.column_config.NumberColumn(
        words.OWN_COSINE, format="%.3f", help=words.OWN_COSINE_HELP
    ),
    "own nearest": st.column_config.ProgressColumn(
        words.OWN_NEAREST, format="%.0f %%", max_value=100, help=words.OWN_NEAREST_HELP
    ),
    "outside": st.column_config.ProgressColumn(
        words.OUTSIDE, format="%.0f %%", max_value=100, help=words.OUTSIDE_HELP
    ),
}


def nothing_to_see(config: TrainConfig) -> None:
    """Says why a run has no soft prompts to show, and which runs have some."""
    st.info(
        words.no_prompts(method_name(config), how_it_answers(config)),
        icon=":material/scatter_plot:",
    )
    if not access.read_only():
        st.page_link("pages/train.py", label=words.TRAIN_ONE, icon=":material/model_training:")


def numbers(run: Run, setup: RunSetup, epoch: int) -> None:
    """Shows the drift of every expert, at one epoch and over the saved epochs."""
    table = tables.drift_frame(cached.drift(run), setup.experts)
    now = table[table["epoch"] == epoch].drop(columns="epoch")
    if len(setup.experts) == 1:
        now = now.drop(columns="own nearest")  # there is no other group
    left, right = layout.wrapping_columns([3, 2], "drift")
    with left:
        st.markdown(words.moved(epoch))
        height = "content" if len(now) <= 14 else 520
        show_table(now, "drift", column_config=DRIFT_COLUMNS, height=height)
        if len(setup.experts) > 1:
            shares = tables.nearest_shares(cached.nearest(run, epoch), setup.experts)
            st.caption(" ".join(words.own_group(shares)))
    with right:
        st.markdown(words.DRIFT_OVER_EPOCHS)
        figure = figures.drift_lines(table, expert_colours(setup.experts))
        show_figure(figure, "drift-over-epochs", words.DRIFT_ALT, table)


def pick_epoch(run: Run) -> int:
    """Returns the chosen epoch among the saved ones; the last one by default."""
    epochs = sorted(run.features().soft)
    if len(epochs) == 1:
        return epochs[0]
    return st.select_slider(
        words.EPOCH,
        epochs,
        value=epochs[-1],
        key=state.MAP_EPOCH,
        bind=state.QUERY,
        width=520,
        help=words.EPOCH_HELP,
    )


def behind_a_point(run: Run, setup: RunSetup) -> None:
    """Shows the test images of a class that go to an expert, and the words near its tokens."""
    st.header(words.BEHIND)
    st.caption(words.BEHIND_CAPTION)
    left, right = st.columns(2)
    several = len(setup.experts) > 1
    expert, first = setup.experts[0], setup.class_names[0]
    if several:
        drawn = tables.few_classes(setup.class_names)
        with loading(setup.config):
            gallery = run_caches.gallery(run, "all")
        expert, first = tables.most_routed(gallery, drawn)
        expert = linked_select(left, words.EXPERT, setup.experts, state.MAP_EXPERT, expert)
    column = right if several else left
    class_name = linked_select(column, words.CLASS, setup.class_names, state.MAP_CLASS, first)
    label = setup.class_names.index(class_name)
    left, right = layout.wrapping_columns([1, 1], "behind")
    with left:
        if several:
            routed_images(run, setup, expert, class_name)
        else:
            items = run_caches.test_items(run, label)
            st.markdown(words.test_images(len(items), class_name))
            thumbnails(setup.config.data, class_name, items)
    with right:
        near_words(run, setup.experts.index(expert), label)


def routed_images(run: Run, setup: RunSetup, expert: str, class_name: str) -> None:
    """Shows the test images of a class for which an expert is chosen."""
    table = run_caches.gallery(run, "all")
    of_class = table[table["true"] == class_name]
    routed = of_class[of_class["experts"].map(lambda names: expert in names)]
    st.markdown(words.go_to(len(routed), len(of_class), class_name, expert))
    if routed.empty:
        others = of_class["expert"].value_counts().head(3)
        st.caption(words.first_choice([(str(name), int(n)) for name, n in others.items()]))
    tested = run_caches.routed_test_items(run, "all")
    thumbnails(setup.config.data, class_name, [tested.items[row] for row in routed["row"]])


def thumbnails(name: str, class_name: str, items: Sequence[Item]) -> None:
    """Shows the first `THUMBNAILS` of the test images of a class."""
    data = data_caches.dataset(name)
    brighten_switch()
    with st.container(horizontal=True, gap="small"):
        for item in items[:THUMBNAILS]:
            show_item(data, item, SIDE, test_image(class_name, item.style), SIDE)
    if len(items) > THUMBNAILS:
        st.caption(words.only_first(THUMBNAILS))


def near_words(run: Run, expert: int, label: int) -> None:
    """Shows the words of CLIP's vocabulary nearest to an expert's learned tokens."""
    st.markdown(words.near_words(run_list.setup_of(run).config.class_context))
    table = tables.words_table(cached.near_words(run, label)[expert])
    cosines: Sequence[str] = [name for name in table.columns if name.startswith("cosine")]
    config = {name: st.column_config.NumberColumn(words.COSINE, format="%.2f") for name in cosines}
    show_table(pd.DataFrame(table), "nearest-words", column_config=config)
    st.caption(words.WORDS_CAPTION)

"""The prompt-space page's parts: drift in numbers, and what lies behind a point."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.caches import data as data_caches
from app.caches import runs as run_caches
from app.common import access, state
from app.common.methods import how_it_answers, method_name
from app.common.theme import expert_colours
from app.prompt_space import cached
from app.prompt_space import figures as space_figures
from app.prompt_space import tables as space_tables
from app.ui import layout
from app.ui.parts import show_figure, show_table
from mocoop.config import TrainConfig
from mocoop.datasets import Item
from mocoop.runs.run import Run, RunSetup

THUMBNAILS = 12
CONDITIONAL = (
    "CoCoOp adds a vector made from each image to its prompt. What is shown here is the prompt by "
    "itself, which no image has shifted."
)
DRIFT_COLUMNS = {
    "expert": st.column_config.TextColumn(width=120),
    "own cosine": st.column_config.NumberColumn(
        "cosine to own prototype",
        format="%.3f",
        help="How alike each soft prompt still is to the mean of its own group's hard prompts, "
        "averaged over classes. 1 means it did not move.",
    ),
    "own nearest": st.column_config.ProgressColumn(
        "own group is nearest",
        format="%.0f %%",
        max_value=100,
        help="For how many classes the nearest group of hard prompts is still its own. Low "
        "means the expert lost the meaning of its group.",
    ),
    "outside": st.column_config.ProgressColumn(
        "outside the hard prompts",
        format="%.0f %%",
        max_value=100,
        help="Share of the soft feature (squared length) that no mixture of this class's hard "
        "prompts can make: what training added that no wording here says.",
    ),
}


def nothing_to_see(config: TrainConfig) -> None:
    """Says why a run has no prompts to look at, and which runs have."""
    st.info(
        f"{method_name(config)} learns no soft prompts, so nothing moved that could be shown. "
        f"{how_it_answers(config)} Choose a run of a method that learns prompts above (MoCoOp, "
        "CoOp, KgCoOp, LASP …).",
        icon=":material/scatter_plot:",
    )
    if not access.read_only():
        st.page_link("pages/train.py", label="Train one", icon=":material/model_training:")


def numbers(run: Run, setup: RunSetup, epoch: int) -> None:
    """Shows how far every expert drifted, at one epoch and over the epochs."""
    table = space_tables.drift_frame(cached.drift(run), setup.experts)
    now = table[table["epoch"] == epoch].drop(columns="epoch")
    if len(setup.experts) == 1:
        now = now.drop(columns="own nearest")  # there is no other group
    left, right = layout.wrapping_columns([3, 2], "drift")
    with left:
        st.markdown(f"**How far the prompts moved**, at epoch {epoch}")
        height = "content" if len(now) <= 14 else 520
        show_table(now, "drift", column_config=DRIFT_COLUMNS, height=height)
    with right:
        st.markdown("**Cosine to the own prototype**, over the saved epochs")
        figure = space_figures.drift_lines(table, expert_colours(setup.experts))
        alt = "Each expert's cosine to its own prototype over the saved epochs"
        show_figure(figure, "drift-over-epochs", alt, table)


def pick_epoch(run: Run) -> int:
    """Returns the saved epoch to look at, the last by default."""
    epochs = sorted(run.features().soft)
    if len(epochs) == 1:
        return epochs[0]
    return st.select_slider(
        "Epoch",
        epochs,
        value=epochs[-1],
        key=state.MAP_EPOCH,
        bind=state.QUERY,
        width=520,
        help="Only the epochs that the run kept. Epoch 0 is before training.",
    )


def behind_a_point(run: Run, setup: RunSetup) -> None:
    """Shows the test images of a class that an expert gets, and the words near its tokens."""
    st.subheader("Behind a point")
    st.caption(
        "Click a point on the flat map, or choose here. The bar above the map has a box and a "
        "lasso, which select several."
    )
    left, right = st.columns(2)
    several = len(setup.experts) > 1
    expert, first = setup.experts[0], setup.class_names[0]
    if several:
        drawn = space_tables.few_classes(setup.class_names)
        expert, first = space_tables.most_routed(run_caches.gallery(run, "all"), drawn)
        expert = left.selectbox(
            "Expert",
            setup.experts,
            setup.experts.index(expert),
            key=state.MAP_EXPERT,
            bind=state.QUERY,
        )
    place = right if several else left
    class_name = place.selectbox(
        "Class",
        setup.class_names,
        setup.class_names.index(first),
        key=state.MAP_CLASS,
        bind=state.QUERY,
    )
    label = setup.class_names.index(class_name)
    left, right = layout.wrapping_columns([1, 1], "behind")
    with left:
        if several:
            routed_images(run, setup, expert, class_name)
        else:
            items = run_caches.test_items(run, label)
            st.markdown(f"**{len(items)}** test images of *{class_name}*")
            thumbnails(setup.config.data, class_name, items)
    with right:
        near_words(run, setup.experts.index(expert), label)


def routed_images(run: Run, setup: RunSetup, expert: str, class_name: str) -> None:
    """Shows the test images of a class for which an expert is among the chosen."""
    table = run_caches.gallery(run, "all")
    of_class = table[table["true"] == class_name]
    got = of_class[of_class["experts"].map(lambda names: expert in names)]
    st.markdown(
        f"**{len(got)} of {len(of_class)}** test images of *{class_name}* go to *{expert}*"
    )
    if got.empty:
        others = of_class["expert"].value_counts().head(3)
        said = ", ".join(f"{name} ({count})" for name, count in others.items())
        st.caption(f"Their first choice is {said}." if said else "The test split has none.")
    found = run_caches.routed_test_items(run, "all")
    thumbnails(setup.config.data, class_name, [found.items[row] for row in got["row"]])


def thumbnails(data: str, class_name: str, items: Sequence[Item]) -> None:
    """Shows the first of some test images of a class."""
    with st.container(horizontal=True, gap="small"):
        for item in items[:THUMBNAILS]:
            png = data_caches.thumbnail(data, item.id, item.label, item.style, 72)
            st.image(png, width=72, alt=f"{class_name}, {item.style or 'a test image'}")
    if len(items) > THUMBNAILS:
        st.caption(f"The first {THUMBNAILS}; the Routing page shows all.")


def near_words(run: Run, expert: int, label: int) -> None:
    """Shows the vocabulary words nearest to an expert's learned tokens, with a warning."""
    of_class = " for this class" if run.setup().config.class_context else ""
    st.markdown(f"**Nearest words of its learned tokens{of_class}**, after training")
    table = space_tables.words_table(cached.words(run, label)[expert])
    cosines: Sequence[str] = [name for name in table.columns if name.startswith("cosine")]
    config = {name: st.column_config.NumberColumn("cosine", format="%.2f") for name in cosines}
    show_table(pd.DataFrame(table), "nearest-words", column_config=config)
    st.caption(
        "Do not read too much into these: a learned token lies between words, and the nearest "
        "one can be far away. A cosine well below 1 says little."
    )

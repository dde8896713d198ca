"""Parts of the Prompt space page: drift in numbers, and the details of a point."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.caches import data as data_caches
from app.caches import runs as run_caches
from app.common import access, state
from app.common.methods import how_it_answers, method_name
from app.common.theme import expert_colours
from app.prompt_space import cached, figures, tables
from app.ui import layout
from app.ui.parts import show_figure, show_table
from mocoop.config import TrainConfig
from mocoop.datasets import Item
from mocoop.runs.run import Run, RunSetup

THUMBNAILS, SIDE = 12, 128  # number of images; width in pixels, twice that of a scene
CONDITIONAL = (
    "CoCoOp adds to its prompt a vector that it computes from each image. This page shows the "
    "prompt without this vector."
)
DRIFT_COLUMNS = {
    "expert": st.column_config.TextColumn(width=120),
    "own cosine": st.column_config.NumberColumn(
        "cosine to own prototype",
        format="%.3f",
        help="Cosine similarity of the soft prompt and the mean of its own group's hard prompts, "
        "averaged over classes. 1 means that it did not move.",
    ),
    "own nearest": st.column_config.ProgressColumn(
        "own group is nearest",
        format="%.0f %%",
        max_value=100,
        help="Share of the classes for which the soft prompt's nearest group of hard prompts is "
        "still its own. A low value means that the expert lost the meaning of its group.",
    ),
    "outside": st.column_config.ProgressColumn(
        "outside the hard prompts",
        format="%.0f %%",
        max_value=100,
        help="Share of the soft feature's squared length that is outside the span of the hard "
        "prompts of its class: what training added that no linear combination of the hard "
        "prompts expresses.",
    ),
}


def nothing_to_see(config: TrainConfig) -> None:
    """Says why a run has no soft prompts to show, and which runs have some."""
    st.info(
        f"{method_name(config)} learns no soft prompts, so there is nothing to show here. "
        f"{how_it_answers(config)} Above you can choose a run of a method that learns prompts "
        "(MoCoOp, CoOp, KgCoOp, LASP …).",
        icon=":material/scatter_plot:",
    )
    if not access.read_only():
        st.page_link("pages/train.py", label="Train one", icon=":material/model_training:")


def numbers(run: Run, setup: RunSetup, epoch: int) -> None:
    """Shows the drift of every expert, at one epoch and over the saved epochs."""
    table = tables.drift_frame(cached.drift(run), setup.experts)
    now = table[table["epoch"] == epoch].drop(columns="epoch")
    if len(setup.experts) == 1:
        now = now.drop(columns="own nearest")  # there is no other group
    left, right = layout.wrapping_columns([3, 2], "drift")
    with left:
        st.markdown(f"**How far the prompts moved**, at epoch {epoch}")
        height = "content" if len(now) <= 14 else 520
        show_table(now, "drift", column_config=DRIFT_COLUMNS, height=height)
    with right:
        st.markdown("**Cosine to own prototype**, over the saved epochs")
        figure = figures.drift_lines(table, expert_colours(setup.experts))
        alt = "Each expert's cosine to its own prototype over the saved epochs"
        show_figure(figure, "drift-over-epochs", alt, table)


def pick_epoch(run: Run) -> int:
    """Returns the chosen epoch among the saved ones; the last one by default."""
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
        help="The epochs that the run saved. Epoch 0 is before training.",
    )


def behind_a_point(run: Run, setup: RunSetup) -> None:
    """Shows the test images of a class that go to an expert, and the words near its tokens."""
    st.subheader("Behind a point")
    st.caption(
        "Click a point on the 2D map, or choose an expert and a class here. The box and the "
        "lasso in the toolbar above the map select several points."
    )
    left, right = st.columns(2)
    several = len(setup.experts) > 1
    expert, first = setup.experts[0], setup.class_names[0]
    if several:
        drawn = tables.few_classes(setup.class_names)
        expert, first = tables.most_routed(run_caches.gallery(run, "all"), drawn)
        expert = left.selectbox(
            "Expert",
            setup.experts,
            setup.experts.index(expert),
            key=state.MAP_EXPERT,
            bind=state.QUERY,
        )
    column = right if several else left
    class_name = column.selectbox(
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
    """Shows the test images of a class for which an expert is chosen."""
    table = run_caches.gallery(run, "all")
    of_class = table[table["true"] == class_name]
    routed = of_class[of_class["experts"].map(lambda names: expert in names)]
    st.markdown(
        f"**{len(routed)} of {len(of_class)}** test images of *{class_name}* go to *{expert}*"
    )
    if routed.empty:
        others = of_class["expert"].value_counts().head(3)
        text = ", ".join(f"{name} ({count})" for name, count in others.items())
        st.caption(
            f"The first choice for these images is {text}."
            if text
            else "The test split has no images of this class."
        )
    tested = run_caches.routed_test_items(run, "all")
    thumbnails(setup.config.data, class_name, [tested.items[row] for row in routed["row"]])


def thumbnails(data: str, class_name: str, items: Sequence[Item]) -> None:
    """Shows the first `THUMBNAILS` of the test images of a class."""
    with st.container(horizontal=True, gap="small"):
        for item in items[:THUMBNAILS]:
            png = data_caches.thumbnail(data, item.id, item.label, item.style, SIDE)
            st.image(png, width=SIDE, alt=f"{class_name}, {item.style or 'a test image'}")
    if len(items) > THUMBNAILS:
        st.caption(f"Only the first {THUMBNAILS} are shown; the Routing page shows all.")


def near_words(run: Run, expert: int, label: int) -> None:
    """Shows the words of CLIP's vocabulary nearest to an expert's learned tokens."""
    of_class = " for this class" if run_caches.setup_of(run).config.class_context else ""
    st.markdown(f"**Nearest words of its learned tokens{of_class}**, after training")
    table = tables.words_table(cached.words(run, label)[expert])
    cosines: Sequence[str] = [name for name in table.columns if name.startswith("cosine")]
    config = {name: st.column_config.NumberColumn("cosine", format="%.2f") for name in cosines}
    show_table(pd.DataFrame(table), "nearest-words", column_config=config)
    st.caption(
        "Do not read too much into these words: a learned token lies between words, and even the "
        "nearest word can be far away. A cosine well below 1 means little."
    )

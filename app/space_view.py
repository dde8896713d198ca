"""The prompt-space page's parts: drift in numbers, the map, what lies behind a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from app import access, layout, loading, run_caches, space_figures, space_tables, state
from app.methods import how_it_answers, method_name
from app.page_parts import show_figure, show_table
from app.theme import expert_colours
from mocoop.config import TrainConfig
from mocoop.datasets import Item
from mocoop.errors import UserError
from mocoop.projection import KINDS, MapSettings, Method, Projection
from mocoop.runs import Run, RunSetup

METHODS: dict[Method, str] = {"pca": "PCA", "umap": "UMAP"}
CALLED = {"hard": "hard prompts", "prototype": "prototypes", "soft": "soft prompts"}
THUMBNAILS = 12
POLL_SECONDS = 1.0
MAP_ALT = "Map of hard prompts, prototypes and soft prompts, joined in pairs"
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


@dataclass(frozen=True)
class MapChoice:
    """What the map shows."""

    settings: MapSettings
    colour_by: str
    """group or class."""
    epoch: int
    kinds: tuple[str, ...]


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
    table = space_tables.drift_frame(run_caches.drift(run), setup.experts)
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


def pick_map(epoch: int) -> MapChoice:
    """Returns what the map is to show."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = st.segmented_control(
            "Map",
            list(METHODS),
            default="pca",
            required=True,
            format_func=METHODS.__getitem__,
            key=state.MAP_METHOD,
            bind=state.QUERY,
            help="PCA is instant and keeps large distances; UMAP keeps neighbours together.",
        )
        dims = st.segmented_control(
            "Dimensions", [2, 3], default=2, required=True, key=state.MAP_DIMS, bind=state.QUERY
        )
        colour_by = st.segmented_control(
            "Colour",
            ["group", "class"],
            default="group",
            required=True,
            key=state.MAP_COLOUR,
            bind=state.QUERY,
        )
        kinds = st.pills(
            "Show",
            KINDS,
            selection_mode="multi",
            default=KINDS,
            format_func=CALLED.__getitem__,
            key=state.MAP_KINDS,
            bind=state.QUERY,
        )
    return MapChoice(MapSettings(method, dims), colour_by, epoch, tuple(kinds))


def drawn_map(run: Run, settings: MapSettings) -> Projection:
    """Returns the map that was asked for, or one by PCA while UMAP is still at work."""
    waiting = False
    try:
        waiting = run_caches.fit_under_way(run, settings) is not None
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        if st.button("Draw it again", icon=":material/replay:"):
            run_caches.map_maker().forget(run, settings)
            st.rerun()
        return run_caches.projection(run, replace(settings, method="pca"))
    if waiting:
        watch_fit(run, settings)
        return run_caches.projection(run, replace(settings, method="pca"))
    return run_caches.projection(run, settings)


@st.fragment(run_every=POLL_SECONDS)
def watch_fit(run: Run, settings: MapSettings) -> None:
    """Says how long UMAP has been at work; runs the page again as soon as it is done."""
    try:
        fit = run_caches.fit_under_way(run, settings)
    except UserError:
        fit = None  # the page says why
    if fit is None:
        st.rerun()
    st.info(
        f"UMAP is drawing this map in the background, for {fit.seconds:.0f} s now: up to a minute "
        "the first time, then it is kept. Meanwhile this is PCA.",
        icon=":material/hourglass_top:",
    )


def pick_classes(projection: Projection, setup: RunSetup) -> list[str]:
    """Returns the classes to draw: a handful by default, any of those on the map."""
    names = [setup.class_names[label] for label in projection.classes]
    return st.multiselect(
        "Classes",
        names,
        default=space_tables.few_classes(names),
        placeholder="Choose classes to draw",
        key=state.MAP_CLASSES,
        bind=state.QUERY,
    )


def the_map(setup: RunSetup, projection: Projection, choice: MapChoice) -> None:
    """Shows the map, what to trust in it, and the points that are selected on it."""
    classes = pick_classes(projection, setup)
    if not classes or not choice.kinds:
        st.info("Choose at least one class and one kind of point to draw.")
        return
    table = space_tables.map_table(projection, setup.groups, setup.class_names)
    drawn = table[table["class"].isin(classes)]
    shown = space_tables.shown_points(table, classes, choice.epoch, choice.kinds)
    by_group = choice.colour_by == "group"
    colours = expert_colours(setup.experts) if by_group else space_figures.class_colours(classes)
    figure = space_figures.prompt_map(shown, choice.colour_by, colours, drawn)
    flat = projection.settings.dims == 2
    if flat:
        show_figure(
            figure,
            state.MAP_POINTS,
            MAP_ALT,
            shown,
            on_select=point_selected,
            selection_mode=("points", "box", "lasso"),
        )
    else:
        show_figure(figure, "map-3d", MAP_ALT, shown)
    st.caption(_legend(flat))
    trust(projection)
    if flat:
        selected_points()


def trust(projection: Projection) -> None:
    """Shows how far the map can be trusted, in one line, and what it leaves out."""
    values = projection.trustworthiness
    said = [
        f"{CALLED[kind]} **{values[kind]:.2f}**" for kind in ("hard", "soft") if kind in values
    ]
    count = space_tables.count_kinds(projection)
    fitted = ", ".join(f"{number} {CALLED[kind]}" for kind, number in count.items())
    line = "Trustworthiness (1 is best): " + " · ".join(said) + ". " if said else ""
    st.markdown(
        f"{line}Neighbours mean something; distances between clusters mean little.",
        help=f"One joint fit on {fitted} (all saved epochs). Trustworthiness is the degree to "
        "which neighbours on the map are neighbours among the real features.",
    )
    if projection.sampled:
        st.caption(
            f"Too many points for one map: {len(projection.classes)} classes were drawn with "
            f"seed {projection.settings.seed}."
        )


def point_selected() -> None:
    """Takes the first selected point's group and class into the choices below the map."""
    points = st.session_state[state.MAP_POINTS].selection.points
    for point in points[:1]:
        _, group, class_name, *_ = point["customdata"]
        st.session_state[state.MAP_EXPERT] = group
        st.session_state[state.MAP_CLASS] = class_name


def selected_points() -> None:
    """Lists the points that are selected on the map."""
    chosen = st.session_state.get(state.MAP_POINTS)
    points = chosen.selection.points if chosen else []
    if len(points) > 1:
        table = space_tables.selected_table([point["customdata"] for point in points])
        st.markdown(f"**{len(table)} points selected**, in {_classes(table['class'].nunique())}")
        show_table(table, "selected-points", height=220)


def behind_a_point(run: Run, setup: RunSetup) -> None:
    """Shows the test images of a class that an expert gets, and the words near its tokens."""
    st.subheader("Behind a point")
    st.caption(
        "Click a point on the flat map, or choose here. The bar above the map has a box and a "
        "lasso, which select several."
    )
    left, right = st.columns(2)
    several = len(setup.experts) > 1
    expert = setup.experts[0]
    if several:
        expert = left.selectbox("Expert", setup.experts, key=state.MAP_EXPERT, bind=state.QUERY)
    place = right if several else left
    class_name = place.selectbox("Class", setup.class_names, key=state.MAP_CLASS, bind=state.QUERY)
    label = setup.class_names.index(class_name)
    left, right = layout.wrapping_columns([1, 1], "behind")
    with left:
        if several:
            routed_images(run, setup, expert, class_name)
        else:
            items = loading.test_items(run, label)
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
    found = loading.routed_test_items(run, "all")
    thumbnails(setup.config.data, class_name, [found.items[row] for row in got["row"]])


def thumbnails(data: str, class_name: str, items: Sequence[Item]) -> None:
    """Shows the first of some test images of a class."""
    with st.container(horizontal=True, gap="small"):
        for item in items[:THUMBNAILS]:
            png = loading.thumbnail(data, item.id, item.label, item.style, 72)
            st.image(png, width=72, alt=f"{class_name}, {item.style or 'a test image'}")
    if len(items) > THUMBNAILS:
        st.caption(f"The first {THUMBNAILS}; the Routing page shows all.")


def near_words(run: Run, expert: int, label: int) -> None:
    """Shows the vocabulary words nearest to an expert's learnt tokens, with a warning."""
    of_class = " for this class" if run.setup().config.class_context else ""
    st.markdown(f"**Nearest words of its learnt tokens{of_class}**, after training")
    table = space_tables.words_table(run_caches.words(run, label)[expert])
    cosines: Sequence[str] = [name for name in table.columns if name.startswith("cosine")]
    config = {name: st.column_config.NumberColumn("cosine", format="%.2f") for name in cosines}
    show_table(pd.DataFrame(table), "nearest-words", column_config=config)
    st.caption(
        "Do not read too much into these: a learnt token lies between words, and the nearest "
        "one can be far away. A cosine well below 1 says little."
    )


def _classes(count: int) -> str:
    return "one class" if count == 1 else f"{count} classes"


def _legend(flat: bool) -> str:
    marks = ("○ hard prompt", "◇ prototype", "★ soft prompt" if flat else "✚ soft prompt")
    return " · ".join(marks) + " · a line joins each soft prompt to its prototype"

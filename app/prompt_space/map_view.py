"""The prompt-space page's map: what it shows, how far to trust it, what is selected on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from app.common import state
from app.common.theme import expert_colours
from app.prompt_space import cached
from app.prompt_space import figures as space_figures
from app.prompt_space import tables as space_tables
from app.ui.parts import show_figure, show_table
from mocoop.analysis.projection import KINDS, MapSettings, Method, Projection
from mocoop.errors import UserError
from mocoop.runs.run import Run, RunSetup

METHODS: dict[Method, str] = {"pca": "PCA", "umap": "UMAP"}
CALLED = {"hard": "hard prompts", "prototype": "prototypes", "soft": "soft prompts"}
POLL_SECONDS = 1.0
MAP_ALT = "Map of hard prompts, prototypes and soft prompts, joined in pairs"


@dataclass(frozen=True)
class MapChoice:
    """What the map shows."""

    settings: MapSettings
    colour_by: str
    """group or class."""
    epoch: int
    kinds: tuple[str, ...]


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
        waiting = cached.fit_under_way(run, settings) is not None
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        if st.button("Draw it again", icon=":material/replay:"):
            cached.map_maker().forget(run, settings)
            st.rerun()
        return cached.projection(run, replace(settings, method="pca"))
    if waiting:
        watch_fit(run, settings)
        return cached.projection(run, replace(settings, method="pca"))
    return cached.projection(run, settings)


@st.fragment(run_every=POLL_SECONDS)
def watch_fit(run: Run, settings: MapSettings) -> None:
    """Says how long UMAP has been at work; runs the page again as soon as it is done."""
    try:
        fit = cached.fit_under_way(run, settings)
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


def _classes(count: int) -> str:
    return "one class" if count == 1 else f"{count} classes"


def _legend(flat: bool) -> str:
    marks = ("○ hard prompt", "◇ prototype", "★ soft prompt" if flat else "✚ soft prompt")
    return " · ".join(marks) + " · a line joins each soft prompt to its prototype"

"""The map of the Prompt space page: its settings, its reliability, the selected points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from app.common import state
from app.common.theme import NEUTRAL, expert_colours
from app.prompt_space import cached, figures, tables
from app.prompt_space.typed_view import typed_on_map
from app.ui.parts import show_figure, show_table
from mocoop.analysis.projection import KINDS, MapSettings, Method, Projection
from mocoop.errors import UserError
from mocoop.runs.run import Run, RunSetup

METHODS: dict[Method, str] = {"pca": "PCA", "umap": "UMAP"}
NAMES = {"hard": "hard prompts", "prototype": "prototypes", "soft": "soft prompts"}
POLL_SECONDS = 1.0
MAP_ALT = "Map of hard prompts, prototypes and soft prompts, joined in pairs"


@dataclass(frozen=True)
class MapChoice:
    """The settings of the map."""

    settings: MapSettings
    colour_by: str
    """group or class."""
    epoch: int
    kinds: tuple[str, ...]


def pick_map(epoch: int) -> MapChoice:
    """Returns the settings of the map that the user chose."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = st.segmented_control(
            "Map",
            list(METHODS),
            default="pca",
            required=True,
            format_func=METHODS.__getitem__,
            key=state.MAP_METHOD,
            bind=state.QUERY,
            help="PCA is fast and preserves large distances. UMAP preserves neighbours.",
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
            format_func=NAMES.__getitem__,
            key=state.MAP_KINDS,
            bind=state.QUERY,
        )
    return MapChoice(MapSettings(method, dims), colour_by, epoch, tuple(kinds))


def drawn_map(run: Run, settings: MapSettings) -> Projection:
    """Returns the chosen map, or one by PCA while UMAP is still running or if it failed."""
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
    """Shows how long UMAP has been running; runs the page again as soon as it has finished."""
    try:
        fit = cached.fit_under_way(run, settings)
    except UserError:
        fit = None  # the page shows the reason
    if fit is None:
        st.rerun()
    st.info(
        f"UMAP is computing this map in the background ({fit.seconds:.0f} s so far). It takes up "
        "to a minute the first time, and is then saved. Until then you see PCA.",
        icon=":material/hourglass_top:",
    )


def pick_classes(projection: Projection, setup: RunSetup) -> list[str]:
    """Returns the classes to draw: a few by default, or any of the classes on the map."""
    names = [setup.class_names[label] for label in projection.classes]
    return st.multiselect(
        "Classes",
        names,
        default=tables.few_classes(names),
        placeholder="Choose classes to draw",
        key=state.MAP_CLASSES,
        bind=state.QUERY,
    )


def the_map(run: Run, setup: RunSetup, projection: Projection, choice: MapChoice) -> None:
    """Shows the map, how reliable it is, and the selected points."""
    classes = pick_classes(projection, setup)
    typed = typed_on_map(run, setup, projection)
    if not classes or not choice.kinds:
        st.info("Choose at least one class and one kind of point to draw.")
        return
    table = tables.map_table(projection, setup.groups, setup.class_names)
    drawn = table[table["class"].isin(classes)]
    shown = tables.shown_points(table, classes, choice.epoch, choice.kinds)
    by_group = choice.colour_by == "group"
    colours = expert_colours(setup.experts) if by_group else figures.class_colours(classes)
    if typed is not None:
        typed = typed[typed["class"].isin(classes)]
        shown, drawn = pd.concat([shown, typed]), pd.concat([drawn, typed])
        colours = colours | {tables.TYPED_GROUP: NEUTRAL}
    figure = figures.prompt_map(shown, choice.colour_by, colours, drawn)
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
    """Shows how reliable the map is, and which classes it leaves out."""
    values = projection.trustworthiness
    parts = [
        f"{NAMES[kind]} **{values[kind]:.2f}**" for kind in ("hard", "soft") if kind in values
    ]
    count = tables.count_kinds(projection)
    fitted = ", ".join(f"{number} {NAMES[kind]}" for kind, number in count.items())
    line = "Trustworthiness (1 is best): " + " · ".join(parts) + ". " if parts else ""
    st.markdown(
        f"{line}You can rely on which points are neighbours, but hardly on distances between "
        "clusters.",
        help=f"One joint fit on {fitted} (all saved epochs). Trustworthiness measures how far "
        "neighbours on the map are also neighbours among the original features.",
    )
    if projection.sampled:
        st.caption(
            f"There are too many points for one map, so it shows {len(projection.classes)} "
            f"random classes (seed {projection.settings.seed})."
        )


def point_selected() -> None:
    """Copies the group and the class of the first selected point to the widgets below the map."""
    points = st.session_state[state.MAP_POINTS].selection.points
    for point in points[:1]:
        _, group, class_name, *_ = point["customdata"]
        if group != tables.TYPED_GROUP:  # which is no expert
            st.session_state[state.MAP_EXPERT] = group
        st.session_state[state.MAP_CLASS] = class_name


def selected_points() -> None:
    """Shows a table of the points that are selected on the map."""
    chosen = st.session_state.get(state.MAP_POINTS)
    points = chosen.selection.points if chosen else []
    if len(points) > 1:
        table = tables.selected_table([point["customdata"] for point in points])
        st.markdown(f"**{len(table)} points selected**, in {_classes(table['class'].nunique())}")
        show_table(table, "selected-points", height=220)


def _classes(count: int) -> str:
    return "one class" if count == 1 else f"{count} classes"


def _legend(flat: bool) -> str:
    marks = ("○ hard prompt", "◇ prototype", "★ soft prompt" if flat else "✚ soft prompt")
    return " · ".join(marks) + " · a line joins each soft prompt to its prototype"

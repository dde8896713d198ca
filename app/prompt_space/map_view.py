"""The map of the Prompt space page: its settings, its points, how reliable it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from app.common import state
from app.common.theme import NEUTRAL, expert_colours
from app.prompt_space import cached, figures, tables, words
from app.prompt_space.side_panel import side_panel
from app.prompt_space.typed_view import typed_on_map
from app.ui import layout
from app.ui.messages import errors_in_words
from app.ui.parts import show_figure, show_table
from app.ui.safe_markdown import without_directives
from mocoop.analysis.projection import KINDS, MapSettings, Method, Projection
from mocoop.errors import UserError
from mocoop.runs.run import Run, RunSetup

METHODS: dict[Method, str] = {"pca": "PCA", "umap": "UMAP"}
POLL_SECONDS = 1.0


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
            words.MAP_METHOD,
            list(METHODS),
            default="pca",
            required=True,
            format_func=METHODS.__getitem__,
            key=state.MAP_METHOD,
            bind=state.QUERY,
            help=words.METHOD_HELP,
        )
        dims = st.segmented_control(
            words.DIMENSIONS,
            [2, 3],
            default=2,
            required=True,
            key=state.MAP_DIMS,
            bind=state.QUERY,
        )
        colour_by = st.segmented_control(
            words.COLOUR,
            ["group", "class"],
            default="group",
            required=True,
            key=state.MAP_COLOUR,
            bind=state.QUERY,
        )
        kinds = st.pills(
            words.SHOW,
            KINDS,
            selection_mode="multi",
            default=KINDS,
            format_func=words.KINDS.__getitem__,
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
        st.error(without_directives(str(error)), icon=":material/error:")
        if st.button(words.DRAW_AGAIN, icon=":material/replay:"):
            cached.map_maker().forget(run, settings)
            st.rerun()
        return cached.projection(run, replace(settings, method="pca"))
    if waiting:
        watch_fit(run, settings)
        return cached.projection(run, replace(settings, method="pca"))
    return cached.projection(run, settings)


@st.fragment(run_every=POLL_SECONDS)
@errors_in_words()
def watch_fit(run: Run, settings: MapSettings) -> None:
    """Shows how long UMAP has been running; runs the page again as soon as it has finished."""
    try:
        fit = cached.fit_under_way(run, settings)
    except UserError:
        fit = None  # the page shows the reason
    if fit is None:
        st.rerun()
    st.info(words.fitting(fit.seconds), icon=":material/hourglass_top:")


def pick_classes(setup: RunSetup, names: list[str]) -> tuple[list[str], tuple[str, str] | None]:
    """Returns the classes to draw, and what to find: `class` or `group` and its name, or None.

    Args:
        setup: the run's.
        names: the classes on the map.
    """
    left, right = st.columns([3, 2])
    memory, few = st.session_state, tables.few_classes(names)
    # Streamlit would keep what a run of another data set left, if only the names in common.
    other = state.MAP_CLASSES in memory and memory.get(state.MAP_CLASSES_OF, names) != names
    if other:
        memory[state.MAP_CLASSES] = few
    memory[state.MAP_CLASSES_OF] = names
    classes = left.multiselect(
        words.CLASSES,
        names,
        default=None if other else few,  # it warns of a widget whose value is set too
        placeholder=words.CLASSES_HINT,
        key=state.MAP_CLASSES,
        bind=state.QUERY,
    )
    choices = tables.search_choices(setup.experts, names)
    asked = right.selectbox(
        words.FIND,
        list(choices),
        index=None,
        placeholder=words.FIND_HINT,
        key=state.MAP_FOUND,
        bind=state.QUERY,
        help=words.FIND_HELP,
    )
    found = choices.get(asked) if asked else None
    if found and found[0] == "class" and found[1] not in classes:
        classes = [*classes, found[1]]
    return classes, found


def the_map(
    run: Run, setup: RunSetup, projection: Projection, choice: MapChoice
) -> pd.DataFrame | None:
    """Shows the map with its key, how reliable it is, and the selected points.

    Returns:
        The points of the drawn classes in all epochs; None if nothing is drawn.
    """
    classes, found = pick_classes(setup, [setup.class_names[one] for one in projection.classes])
    typed = typed_on_map(run, setup, projection)
    if not classes or not choice.kinds:
        st.info(words.NOTHING_CHOSEN)
        return None
    table = tables.map_table(projection, setup.groups, setup.class_names)
    drawn = table[table["class"].isin(classes)]
    points = drawn
    shown = tables.shown_points(table, classes, choice.epoch, choice.kinds)
    by_group = choice.colour_by == "group"
    colours = expert_colours(setup.experts) if by_group else figures.class_colours(classes)
    listed = list(setup.experts) if by_group else classes
    if typed is not None:
        typed = typed[typed["class"].isin(classes)]
        shown = pd.concat([shown, typed], ignore_index=True)
        drawn = pd.concat([drawn, typed], ignore_index=True)
    with_typed = colours | {tables.TYPED_GROUP: NEUTRAL}
    figure = figures.prompt_map(shown, choice.colour_by, with_typed, drawn, found)
    flat = projection.settings.dims == 2
    left, right = layout.wrapping_columns([3, 1], "map")
    with left:
        if flat:
            show_figure(
                figure,
                state.MAP_POINTS,
                words.MAP_ALT,
                shown,
                on_select=point_selected,
                selection_mode=("points", "box", "lasso"),
            )
        else:
            show_figure(figure, "map-3d", words.MAP_ALT, shown)
    with right:
        coloured = {name: colours[name] for name in listed}
        side_panel(setup, choice.colour_by, coloured, flat, typed is not None, found)
    if found is not None:
        marked = (shown[found[0]] == found[1]) & (shown["kind"] == "soft")
        st.caption(words.found(found[1], int(marked.sum())))
    trust(projection)
    if flat:
        selected_points()
    return points


def trust(projection: Projection) -> None:
    """Shows how reliable the map is, and which classes it leaves out."""
    st.markdown(
        words.trust(projection.trustworthiness),
        help=words.trust_help(tables.count_kinds(projection)),
    )
    if projection.sampled:
        st.caption(words.sampled(len(projection.classes), projection.settings.seed))


def point_selected() -> None:
    """Writes the group and the class of the first selected point into the address."""
    points = st.session_state[state.MAP_POINTS].selection.points
    for point in points[:1]:
        _, group, class_name, *_ = point["customdata"]
        if group != tables.TYPED_GROUP:  # which is no expert
            st.query_params[state.MAP_EXPERT] = group
        st.query_params[state.MAP_CLASS] = class_name


def selected_points() -> None:
    """Shows a table of the points that are selected on the map."""
    chosen = st.session_state.get(state.MAP_POINTS)
    points = chosen.selection.points if chosen else []
    if len(points) > 1:
        table = tables.selected_table([point["customdata"] for point in points])
        st.markdown(words.selected(len(table), table["class"].nunique()))
        show_table(table, "selected-points", height=220)

"""The tab of the Data page in which templates are written, grouped and used."""

from __future__ import annotations

import json
from dataclasses import replace

import streamlit as st

from app.common import access, changes, state
from app.common.words import escape_markdown, groups_to_rows
from app.data.edit_view import editable
from app.jobs import template_jobs
from app.jobs.template_jobs import MakingResult
from app.new_templates import group_view, six_view, tables, words, write_view
from app.train.settings import setting_key
from app.ui.messages import errors_in_words
from app.ui.parts import show_table
from mocoop.datasets import Dataset
from mocoop.datasets.edits import EDITS_FILE
from mocoop.presets import preset
from mocoop.runs.status import FINISHED
from mocoop.template_making.candidates import Judged
from mocoop.template_making.flat_map import TemplateMap
from mocoop.template_making.record import refusals, with_groups
from mocoop.templates import Groups

TABLE_HEIGHT = 320
METHOD = "mocoop"  # whose groups these are


def new_templates(name: str, dataset: Dataset) -> None:
    """Shows the form, and what came of it: candidates, groups, six pictures, what to do next.

    Args:
        name: the data set's, as it was chosen.
        dataset: the data set.
    """
    st.caption(words.CAPTION)
    write_view.form(name, dataset)
    key, old = write_view.current(name, dataset)
    if key is None:
        st.info(words.CHANGED_DATA if old else words.NONE_YET)
        return
    status = template_jobs.status_of(key)
    if status is None:
        st.info(words.NONE_YET)
        return
    if status.active:
        write_view.watch(key)
        return
    if status.state != FINISHED:
        write_view.outcome(key, status.state, status.message)
        candidates(template_jobs.candidates_of(key))
        return
    result = _result(key)
    candidates(result.judged, grouped=True)
    request = template_jobs.request_of(key)
    assert request is not None  # `current` has read it
    config = replace(preset(METHOD), data=name, backbone=request.clip)
    st.header(words.GROUPS)
    grouping = result.document["grouping"]
    found = result.document["groups"]
    why = words.why_number(len(found), grouping["why"], result.document["validation"])
    st.caption(escape_markdown(" ".join([why, *result.document["remarks"]])))
    drawn = _map(key)
    history = group_view.history_of(name, key, result, drawn)
    with errors_in_words():
        typed = group_view.edit_groups(dataset, config, result, drawn, history)
        st.header(words.SIX)
        six_view.six_pictures(dataset, config, history.now.groups, typed)
    st.header(words.USE)
    use(name, dataset, request.clip, result, history.now.groups)


@st.cache_resource(show_spinner=False, max_entries=4)
def _result(key: str) -> MakingResult:
    return template_jobs.result_of(key)


@st.cache_resource(show_spinner=False, max_entries=4)
def _map(key: str) -> TemplateMap:
    return TemplateMap.of(_result(key).means)


def candidates(judged: tuple[Judged, ...], grouped: bool = False) -> None:
    """Shows every candidate, refused ones with the reason.

    Args:
        judged: the candidates.
        grouped: whether the kept ones were grouped already.
    """
    if not judged:
        return
    numbers = tables.result_counts(judged, grouped)
    others = sum(one.other_language for one in judged if one.kept)
    st.header(words.CANDIDATES)
    left = numbers.get(words.LEFT)
    st.markdown(words.counts(numbers, others), help=words.LEFT_HELP if left else None)
    refused = refusals(judged)
    if refused:
        st.caption(escape_markdown(words.reasons(refused)))
    which = st.segmented_control(
        words.SHOW,
        [words.ALL, *numbers],
        default=words.ALL,
        required=True,
        key=f"{state.MADE_SHOW} {'grouped' if grouped else 'checked'}",
        label_visibility="collapsed",
    )
    table = tables.candidate_table(judged, which or words.ALL, grouped)
    show_table(
        table,
        "candidates",
        height=min(TABLE_HEIGHT, 38 + 35 * max(1, len(table))),
        placeholder=words.NOT_TRIED,
        column_config={
            words.TEMPLATE: st.column_config.TextColumn(width="large"),
            words.WHY: st.column_config.TextColumn(width="large"),
            words.ACCURACY: st.column_config.NumberColumn(
                format="%.0f %%", help=words.ACCURACY_HELP
            ),
        },
    )


def use(name: str, dataset: Dataset, clip: str, result: MakingResult, groups: Groups) -> None:
    """Shows the buttons that train with the groups, download them, or save them with the data.

    Args:
        name: the data set's, as it was chosen.
        dataset: the data set.
        clip: the CLIP that checked and grouped, which is trained then.
        result: what the groups came from.
        groups: the groups now.
    """
    document = with_groups(result.document, groups)
    with st.container(horizontal=True, vertical_alignment="center"):
        if not access.read_only() and st.button(
            words.TRAIN, type="primary", icon=":material/model_training:"
        ):
            st.session_state[f"{state.TEMPLATES_EDITED} {name}"] = groups_to_rows(groups)
            st.session_state[state.DATA_NEXT] = name
            st.session_state[setting_key("backbone")] = clip
            st.session_state[state.FILLED] = frozenset({setting_key("backbone")})
            st.switch_page("pages/train.py", query_params={state.METHOD: METHOD})
        st.download_button(
            words.DOWNLOAD,
            lambda: json.dumps(document, indent=2, ensure_ascii=False),
            f"{dataset.name.rpartition('/')[2]}-templates.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
            help=words.DOWNLOAD_HELP,
        )
        own = editable(dataset)
        saved = own is not None and st.button(words.SAVE, icon=":material/save:")
    if own is not None and saved:
        changes.save_edits(own.edits_folder, replace(own.edits(), groups=groups))
        st.session_state.pop(f"{state.TEMPLATES_EDITED} {name}", None)
        st.success(words.saved(EDITS_FILE), icon=":material/check:")
    if access.read_only():
        st.caption(words.cannot_save(len(groups)))

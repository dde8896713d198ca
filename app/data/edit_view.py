"""Parts of the Data page that can change a data set: class names, templates, left-out images."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

import pandas as pd
import streamlit as st

from app.caches import data as data_caches
from app.common import access, changes, state
from app.common.words import groups_to_rows
from app.data import tables, words
from app.data.tables import CLASS, FOLDER
from app.ui.parts import csv_button, show_table
from mocoop.analysis.group_proposals import Proposed, propose_groups
from mocoop.catalog.check import Report, check
from mocoop.config import DEMO
from mocoop.datasets import Dataset
from mocoop.datasets.base import SPLITS, check_class_names
from mocoop.datasets.class_folders import tidy
from mocoop.datasets.edits import EDITS_FILE
from mocoop.datasets.folder import FolderDataset
from mocoop.features.cache import FeatureCache
from mocoop.storage.cache_folder import default_cache

MOST_ROWS = 11  # longest table that is shown without scrolling
MANY = 20_000  # with more images, the check is better done on the command line


def classes(dataset: Dataset) -> None:
    """Shows a row per class; the names of the user's own data sets can be changed."""
    table = tables.class_table(dataset)
    own = editable(dataset)
    if own is None:
        show_table(table.drop(columns=FOLDER), "classes", height=_height(table))
        return
    st.caption(words.change_names(EDITS_FILE, own.edits_folder.name if own.in_use else ""))
    # Streamlit keeps what was typed by row: after another visitor's change of the names, it would
    # stand in rows of other folders or overwrite that change.
    listed = "\n".join((*table[FOLDER], *table[CLASS]))
    fixed = [column for column in table.columns if column != CLASS]
    edited = st.data_editor(
        table,
        key=f"classes {dataset.source} {hashlib.sha256(listed.encode()).hexdigest()}",
        disabled=fixed,
        hide_index=True,
        height=_height(table),
        width="stretch",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        before = own.edits()
        renamed = tables.renamed_classes(edited, dataset, before.classes)
        changed = renamed != dict(before.classes)
        if st.button(words.SAVE_NAMES, icon=":material/save:", disabled=not changed):
            names = tuple(
                name or tidy(folder)
                for folder, name in zip(edited[FOLDER], edited[CLASS], strict=True)
            )
            check_class_names(names)
            changes.save_edits(own.edits_folder, replace(before, classes=renamed))
            st.rerun()
        csv_button(table, "classes")


def _height(table: pd.DataFrame) -> int | Literal["content"]:
    """Returns the height of a table; a long table scrolls."""
    return "content" if len(table) <= MOST_ROWS else 420


def templates(name: str, dataset: Dataset) -> None:
    """Shows the data set's templates, and proposes groups of templates for it."""
    st.markdown(words.zero_shot(dataset.templates.zero_shot))
    st.markdown(words.GROUPS)
    show_table(tables.groups_table(dataset.templates.groups), "groups")
    if not dataset.items("train"):
        return
    st.header(words.WHICH_GROUPS)
    st.caption(words.WHICH_GROUPS_CAPTION)
    key = f"{state.DATA_PROPOSED} {name}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        clip = st.text_input(words.CLIP, DEMO, width=280, disabled=access.read_only())
        count = st.number_input(words.MAXIMUM, 2, 20, 6, width=200)
        if st.button(words.PROPOSE, icon=":material/lightbulb:"):
            clip = clip.strip() or DEMO
            access.check_clip(clip, st.get_option("server.address"))
            with st.spinner(words.COMPARING):
                backbone = data_caches.backbone(clip)
                st.session_state[key] = propose_groups(
                    backbone, dataset, FeatureCache(backbone), int(count)
                )
    proposed = st.session_state.get(key)
    if proposed is not None:
        _proposed(name, dataset, proposed)


def _proposed(name: str, dataset: Dataset, proposed: Proposed) -> None:
    if not proposed.enough:
        st.info(words.NO_SECOND_GROUP)
        return
    show_table(
        tables.proposal_table(proposed),
        "proposed groups",
        column_config={
            "images": st.column_config.NumberColumn(words.BEST_FIT, format="%.0f %%"),
            "adds": st.column_config.NumberColumn(words.ADDS, format="%.3f", help=words.ADDS_HELP),
        },
    )
    with st.container(horizontal=True):
        used = st.button(words.USE_FOR_TRAINING, icon=":material/model_training:")
        own = editable(dataset)
        if own and st.button(words.SAVE_WITH_DATA, icon=":material/save:"):
            before = own.edits()
            changes.save_edits(own.edits_folder, replace(before, groups=proposed.groups))
            st.session_state.pop(f"{state.TEMPLATES_EDITED} {name}", None)
            st.rerun()
    if used:
        rows = groups_to_rows(proposed.groups)
        st.session_state[f"{state.TEMPLATES_EDITED} {name}"] = rows
        st.page_link(
            "pages/train.py",
            label=words.NOW_IN_TABLE,
            icon=":material/arrow_forward:",
        )


def whole(name: str, dataset: Dataset) -> None:
    """Opens every image on request, and shows which problems there are."""
    ids = {item.id for split in SPLITS for item in dataset.items(split)}
    st.caption(words.what_is_checked(len(ids)))
    if len(ids) > MANY:
        st.info(words.use_command_line(dataset.source))
    key = f"{state.DATA_REPORT} {name}"
    if st.button(words.OPEN_EVERY, icon=":material/fact_check:"):
        bar = st.progress(0.0, words.OPENING)

        def show_progress(done: int, total: int) -> None:
            bar.progress(done / total, words.opened(done, total))

        report = check(dataset, default_cache(), progress=show_progress)
        st.session_state[key] = report, ids
        bar.empty()
    report, checked = st.session_state.get(key, (None, ids))
    if report is not None and ids <= checked:  # else images were added, which nobody has opened
        _report(dataset, tables.of_present_images(report, dataset))


def _report(dataset: Dataset, report: Report) -> None:
    """Shows the result of a check, and offers to leave out images that cannot be read."""
    if report.clean:
        st.success(words.ALL_READABLE, icon=":material/check:")
    for counted in report.counts:
        if counted.published is not None and not counted.right:
            st.warning(words.other_count(counted.what, counted.found, counted.published))
    problems = tables.problem_table(report)
    if problems.empty:
        return
    show_table(problems, "problems")
    broken = dict.fromkeys(report.missing, words.NO_FILE) | report.unreadable
    own = editable(dataset)
    if broken and own and st.button(words.leave_out(len(broken)), icon=":material/block:"):
        changes.leave_out(own.edits_folder, broken)
        st.rerun()


def editable(dataset: Dataset) -> FolderDataset | None:
    """Returns the data set if the user may change its names, templates and images, or None."""
    return dataset if isinstance(dataset, FolderDataset) and not access.read_only() else None

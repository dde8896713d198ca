"""The Data page's parts that can change a set: class names, templates, what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pandas as pd
import streamlit as st

from app.caches import data as data_caches
from app.common import access, state
from app.common.words import groups_to_rows
from app.data import tables as data_tables
from app.data.tables import CLASS, FOLDER
from app.ui.parts import csv_button, show_table
from mocoop.analysis.group_proposals import Proposed, propose_groups
from mocoop.catalog.check import Report, check
from mocoop.datasets import Dataset
from mocoop.datasets.base import SPLITS, check_class_names
from mocoop.datasets.class_folders import tidy
from mocoop.datasets.edits import EDITS_FILE, add_skipped, read_edits, write_edits
from mocoop.datasets.folder import FolderDataset
from mocoop.features.cache import FeatureCache, default_cache

MOST_ROWS = 11  # of a table that is shown whole
MANY = 20_000  # images whose check is better done on the command line


def classes(dataset: Dataset) -> None:
    """Shows a row per class; names of one's own sets can be changed."""
    table = data_tables.class_table(dataset)
    own = _own(dataset)
    if own is None:
        show_table(table.drop(columns=FOLDER), "classes", height=_height(table))
        return
    st.caption(
        "The class name stands in every prompt. Change it here where the folder's name says too "
        f"little; the change is kept in `{EDITS_FILE}` beside the images."
    )
    fixed = [column for column in table.columns if column != CLASS]
    edited = st.data_editor(
        table,
        key=f"classes {dataset.source}",
        disabled=fixed,
        hide_index=True,
        height=_height(table),
        width="stretch",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        before = read_edits(own.edits_folder)
        renamed = data_tables.renamed_classes(edited, dataset, before.classes)
        changed = renamed != dict(before.classes)
        if st.button("Keep the names", icon=":material/save:", disabled=not changed):
            names = tuple(
                name or tidy(folder)
                for folder, name in zip(edited[FOLDER], edited[CLASS], strict=True)
            )
            check_class_names(names)
            write_edits(own.edits_folder, replace(before, classes=renamed))
            st.rerun()
        csv_button(table, "classes")


def _height(table: pd.DataFrame) -> int | Literal["content"]:
    """Returns as much height as a table needs; a long one is scrolled."""
    return "content" if len(table) <= MOST_ROWS else 420


def templates(name: str, dataset: Dataset) -> None:
    """Shows the set's words, and proposes groups for it."""
    st.markdown(
        f"Zero-shot template: *{dataset.templates.zero_shot}* "
        "(`{}` is where the class name goes)"
    )
    st.markdown("Groups of templates, each the start of one expert:")
    show_table(data_tables.groups_table(dataset.templates.groups), "groups")
    if not dataset.items("train"):
        return
    st.markdown("##### Which groups suit these pictures?")
    st.caption(
        "Asks the CLIP which groups of templates, together, best tell the classes of the training "
        "images apart, and stops where another group no longer helps. The small built-in CLIP "
        "knows few words; on photographs only a real one has something to say."
    )
    key = f"{state.DATA_PROPOSED} {name}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        clip = st.text_input("CLIP", "demo", width=280, disabled=access.read_only())
        count = st.number_input("Groups at most", 2, 20, 6, width=160)
        if st.button("Propose groups", icon=":material/lightbulb:"):
            with st.spinner("Comparing …"):
                backbone = data_caches.backbone(clip.strip())
                st.session_state[key] = propose_groups(
                    backbone, dataset, FeatureCache(backbone), int(count)
                )
    proposed = st.session_state.get(key)
    if proposed is not None:
        _proposed(name, dataset, proposed)


def _proposed(name: str, dataset: Dataset, proposed: Proposed) -> None:
    if not proposed.enough:
        st.info("No second group helps on these images: the set's own groups are kept.")
        return
    show_table(
        data_tables.proposal_table(proposed),
        "proposed groups",
        column_config={
            "images": st.column_config.NumberColumn("images that take it", format="%.0f %%"),
            "adds": st.column_config.NumberColumn(
                "adds",
                format="%.3f",
                help="By how much this group raises the mean log probability of the true classes "
                "(in nats).",
            ),
        },
    )
    with st.container(horizontal=True):
        used = st.button("Use them for the next training", icon=":material/model_training:")
        own = _own(dataset)
        if own and st.button("Keep them with the data set", icon=":material/save:"):
            before = read_edits(own.edits_folder)
            write_edits(own.edits_folder, replace(before, groups=proposed.groups))
            st.rerun()
    if used:
        rows = groups_to_rows(proposed.groups)
        st.session_state[f"{state.TEMPLATES_EDITED} {name}"] = rows
        st.page_link(
            "pages/train.py",
            label="They stand in the table of templates: train with them",
            icon=":material/arrow_forward:",
        )


def whole(name: str, dataset: Dataset) -> None:
    """Opens every image when asked to, and shows what is wrong."""
    number = len({item.id for split in SPLITS for item in dataset.items(split)})
    st.caption(
        f"Opens all {number:,} images, compares with the published counts where there are some, "
        "and looks for pictures that are in training and in test."
    )
    if number > MANY:
        st.info(f"For so many images use the command line: `mocoop data check {dataset.source}`.")
    key = f"{state.DATA_REPORT} {name}"
    if st.button("Open every image", icon=":material/fact_check:"):
        bar = st.progress(0.0, "Opening images …")

        def tell(done: int, of: int) -> None:
            bar.progress(done / of, f"{done:,} of {of:,} images")

        st.session_state[key] = check(dataset, default_cache(), progress=tell)
        bar.empty()
    report = st.session_state.get(key)
    if report is not None:
        _report(dataset, report)


def _report(dataset: Dataset, report: Report) -> None:
    """Shows what a check found, and offers to leave out what cannot be read."""
    if report.clean:
        st.success("Every image is there and can be read.", icon=":material/check:")
    for counted in report.counts:
        if not counted.right:
            st.warning(
                f"{counted.what}: {counted.found:,} here, {counted.published:,} as published."
            )
    problems = data_tables.problem_table(report)
    if problems.empty:
        return
    show_table(problems, "problems")
    broken = dict.fromkeys(report.missing, "no such file") | report.unreadable
    own = _own(dataset)
    words = "this image" if len(broken) == 1 else f"these {len(broken)} images"
    if broken and own and st.button(f"Leave {words} out", icon=":material/block:"):
        add_skipped(own.edits_folder, broken)
        st.rerun()


def _own(dataset: Dataset) -> FolderDataset | None:
    """Returns the set if its names, templates and images may be changed here."""
    return dataset if isinstance(dataset, FolderDataset) and not access.read_only() else None

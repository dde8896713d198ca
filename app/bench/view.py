"""The tab that classifies many uploaded pictures: table, warnings, accuracy, files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from app.bench import words
from app.bench.opening import given_pictures, shown_name
from app.bench.tables import (
    Outcome,
    classify_all,
    confusion_table,
    labels_of,
    pictures_table,
    unreadable_table,
)
from app.caches import run_list
from app.caches import runs as run_caches
from app.common import state
from app.ui.messages import errors_in_words
from app.ui.parts import csv_button, show_table
from app.ui.pictures import brighten_switch
from mocoop.errors import UserError
from mocoop.evaluation.class_measures import frequent_mistakes
from mocoop.evaluation.many_pictures import many_csv
from mocoop.evaluation.picture_labels import LabelledResult
from mocoop.evaluation.unlike_training import TrainingDistances, check_has_training_images
from mocoop.runs.run import Run, open_run

MAX_MEGABYTES = 200
NUMBER = st.column_config.NumberColumn
COLUMNS = {
    "picture": st.column_config.ImageColumn("", width="small"),
    "file": st.column_config.TextColumn("file", width="medium"),
    "probability": NUMBER("probability", format="%.1f %%"),
    "unlike": st.column_config.CheckboxColumn("unlike training"),
    "quantile": NUMBER("quantile", format="%.2f", help=words.QUANTILE),
    "distance": NUMBER("distance", format="%.3f", help=words.DISTANCE),
    "expert entropy": NUMBER("expert entropy", format="%.2f", help=words.EXPERT_ENTROPY),
    "class entropy": NUMBER("class entropy", format="%.2f", help=words.CLASS_ENTROPY),
}


@st.fragment
@errors_in_words()
def many_pictures(run: Run) -> None:
    """Shows the upload of many pictures, and what a run says about them."""
    st.caption(words.INTRO)
    left, right = st.columns([2, 1], gap="medium")
    files = left.file_uploader(
        words.UPLOAD,
        accept_multiple_files=True,
        max_upload_size=MAX_MEGABYTES,
        key=state.MANY_UPLOADS,
        help=words.UPLOAD_HELP,
    )
    table = right.file_uploader(
        words.LABELS, type=["csv", "tsv", "txt"], key=state.MANY_LABELS, help=words.LABELS_HELP
    )
    if not files:
        return
    pictures, refused, hidden = given_pictures(files, run_list.setup_of(run).white)
    if hidden:
        st.caption(words.hidden(hidden))
    if len(pictures) > words.MOST:
        st.warning(words.too_many(len(pictures)))
        pictures = pictures[: words.MOST]
    ids = tuple(file.file_id for file in files), getattr(table, "file_id", None)
    key = (str(run.path), run_list.stamp_of(run), *ids)
    kept = st.session_state.get(state.MANY_OUTCOME)
    if st.button(words.button(len(pictures)), icon=":material/play_arrow:", type="primary"):
        content = None if table is None else table.getvalue()
        named = "" if table is None else shown_name(table.name)
        labels = labels_of([picture.name for picture in pictures], content, named)
        kept = (key, *_classified(run, pictures, labels))
        st.session_state[state.MANY_OUTCOME] = kept
    if kept is None:
        return
    if kept[0] != key:
        st.caption(words.CHANGED)
        return
    _, outcome, why_not, seconds = kept
    everything = {**refused, **outcome.unreadable}
    _show(replace(outcome, unreadable=everything), why_not, seconds)


def _classified(
    run: Run, pictures: Sequence[Any], labels: dict[str, str]
) -> tuple[Outcome, str, float]:
    """Returns the outcome, why nothing is said about training images, and the time in seconds."""
    started = time.monotonic()
    bar = st.progress(0.0, words.progress(0, len(pictures)))
    training, why_not = None, ""
    try:
        training = distances_of(run)
    except UserError as error:
        why_not = str(error)

    def progress(done: int, total: int) -> None:
        bar.progress(done / total, words.progress(done, total))

    outcome = classify_all(
        run_caches.classifier(run),
        run_caches.encoder(run),
        pictures,
        labels,
        training,
        progress,
    )
    bar.empty()
    return outcome, why_not, time.monotonic() - started


def distances_of(run: Run) -> TrainingDistances:
    """Returns how near a run's training images are to each other.

    Raises:
        UserError: for a method without training images, or if they are not here any more.
    """
    return _training(str(run.path), run_list.stamp_of(run))


@st.cache_resource(show_spinner=words.ENCODING_TRAINING, max_entries=8)
def _training(path: str, stamp: float) -> TrainingDistances:
    run = open_run(path)
    check_has_training_images(run_list.setup_of(run))
    return TrainingDistances.of(run_caches.training_images(run).features)


def _show(outcome: Outcome, why_not: str, seconds: float) -> None:
    """Shows the numbers, the table, what was not read, and the files."""
    judged = [row for row in outcome.rows if row.unlike is not None]
    unlike = sum(bool(row.unlike) for row in judged)
    _numbers(outcome.result)
    st.caption(words.done(len(outcome.rows), seconds))
    if unlike > words.usual(len(judged)):
        st.warning(words.unlike(unlike, len(judged)), icon=":material/travel_explore:")
    elif unlike:
        st.caption(words.unlike(unlike, len(judged)))
    elif why_not:
        st.caption(words.not_judged(why_not))
    if outcome.unreadable:
        count = len(outcome.unreadable)
        with st.expander(f"{words.NOT_READ}: {count:,}", expanded=True, icon=":material/error:"):
            show_table(unreadable_table(outcome), "many-not-read")
    if not outcome.rows:
        return
    kinds = [words.ALL]
    kinds += [words.UNLIKE] if unlike else []
    if any(row.right is not None for row in outcome.rows):
        kinds += [words.WRONG, words.RIGHT]
    kind = words.ALL
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(kinds) > 1:
            # Other pictures have other kinds: the key keeps their widgets apart.
            kind = st.segmented_control(
                words.FILTER, kinds, default=words.ALL, required=True, key=f"many {kinds}"
            )
        brighten_switch()
        st.download_button(
            words.CSV,
            many_csv(outcome.rows, outcome.unreadable).encode(),
            "pictures.csv",
            "text/csv",
            key="download-many",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )
    table = pictures_table(outcome, kind, bool(st.session_state.get(state.BRIGHTEN)))
    if table.empty:
        st.info(words.NOTHING)
    else:
        st.dataframe(table, hide_index=True, column_config=COLUMNS, row_height=56, placeholder="–")
    if judged:
        with st.expander(words.HOW_TITLE):
            st.markdown(words.HOW)
    if outcome.result is not None and outcome.result.images:
        _confusion(outcome.result)


def _numbers(result: LabelledResult | None) -> None:
    """Shows accuracy and macro-F1, and which labels are left out."""
    if result is None:
        st.caption(words.NO_LABELS)
        return
    if result.accuracy is not None:
        first, second, _ = st.columns(3)
        first.metric("Accuracy", f"{result.accuracy:.1f} %")
        first.caption(words.interval(result))
        second.metric("Macro-F1", f"{result.macro_f1:.1f} %")
    for line in words.left_out(result):
        st.caption(line)


def _confusion(result: LabelledResult) -> None:
    """Shows the most frequent mistakes, and the whole confusion matrix."""
    mistakes = frequent_mistakes(result.confusion)
    if mistakes:
        st.markdown(words.MISTAKES)
        columns = ["true class", "predicted", "pictures"]
        show_table(pd.DataFrame(mistakes, columns=columns), "many-mistakes")
    with st.expander(words.CONFUSION):
        table = confusion_table(result)
        st.dataframe(table)
        csv_button(table, "many-confusion", index=True)

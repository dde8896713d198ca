"""The results of a finished run on the Train page: accuracies, their intervals, other seeds."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import streamlit as st

from app.jobs import seeds, trainings
from app.train import words
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.evaluation.over_seeds import over_seeds
from mocoop.evaluation.paired import PairTest, pair_test_of_counts, wilson_interval
from mocoop.methods import METHODS
from mocoop.runs.chosen_lengths import lengths_in_words
from mocoop.runs.run import Run

Part = Mapping[str, Any]


def show_accuracies(run: Run, config: TrainConfig) -> None:
    """Shows a run's test accuracies with intervals, against zero-shot and over seeds."""
    results = run.results()
    with st.container(horizontal=True, vertical_alignment="top", gap="large"):
        for part, label in words.PARTS.items():
            if part in results:
                _metric(label, results[part], config)
        if "harmonic_mean" in results:
            st.metric(
                words.MEASURES["harmonic_mean"],
                f"{results['harmonic_mean']:.1f} %",
                width="content",
            )
        seconds = results.get("training_seconds")  # may be missing in a damaged run
        if seconds is not None:
            spent = f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
            st.metric(words.TRAINING_TIME, spent, width="content")
    tests = pair_tests(results) if _learns(config) else {}
    lengths = lengths_in_words(results)
    if lengths:
        st.caption(lengths)
    lines = [
        words.against_zero_shot(words.PARTS[part], test, results[part]["zero_shot"])
        for part, test in tests.items()
    ]
    if lines:
        st.markdown("  \n".join(lines))
    if _learns(config) and len(tests) < len(_parts(results)):
        st.caption(words.NOT_TESTED)
    if not _parts(results):
        if results:  # otherwise the file is damaged
            st.warning(words.NO_TEST_IMAGES, icon=":material/info:")
        return
    with st.expander(words.HOW_SURE):
        for part in _parts(results):
            accuracy = _with_interval(results[part])
            st.markdown(words.tested(words.PARTS[part], accuracy, tests.get(part)))
        st.caption(words.HOW_TESTED)
    _show_seeds(run)


def pair_tests(results: Part) -> dict[str, PairTest]:
    """Returns "all", "base" or "new" → the paired test against zero-shot, where it is known."""
    found = {part: _pair(results[part]) for part in _parts(results)}
    return {part: test for part, test in found.items() if test is not None}


def _parts(results: Part) -> list[str]:
    return [part for part in words.PARTS if part in results]


def _learns(config: TrainConfig) -> bool:
    """Returns whether a method differs from zero-shot at all."""
    return not METHODS[config.method].is_plain_prompt


def _pair(result: Part) -> PairTest | None:
    """Returns the paired test against zero-shot; None in results of earlier versions."""
    counts = result.get("against_zero_shot")
    return None if counts is None else pair_test_of_counts(**counts)


def _metric(label: str, result: Part, config: TrainConfig) -> None:
    """Shows an accuracy; an arrow and a colour only if it clearly differs from zero-shot."""
    untrained = result.get("zero_shot")
    if untrained is None or not _learns(config):
        st.metric(label, f"{result['accuracy']:.1f} %", width="content")
        return
    test = _pair(result)
    clear = test is not None and test.clear
    rises = result["accuracy"] >= untrained
    st.metric(
        label,
        f"{result['accuracy']:.1f} %",
        words.gain(test, result["accuracy"] - untrained),
        # Streamlit would read the sign, but it does not know the minus of the text.
        delta_color="off" if not clear else "green" if rises else "red",
        delta_arrow="off" if not clear else "up" if rises else "down",
        width="content",
        help=words.zero_shot_reaches(untrained)
        + ("" if clear or test is None else f" {words.NOISE_HELP}"),
    )


def _with_interval(result: Part) -> str:
    """Returns an accuracy with its interval and number of images."""
    images = int(result["num_images"])
    right = round(result["accuracy"] * images / 100)
    return words.interval_of(result["accuracy"], wilson_interval(right, images), images)


def _show_seeds(run: Run) -> None:
    """Shows the mean over three seeds, once all of them are trained."""
    with suppress(UserError):  # a run was deleted while the page was built
        found = seeds.finished_seeds(trainings.requested(run))
        if found is not None:
            means = over_seeds([one.results() for one in found.values()])
            st.info(words.seeds_in_words(list(found), means), icon=":material/functions:")

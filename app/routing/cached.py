"""Streamlit caches of what the Routing page computes from a run; keys hold all inputs."""

from __future__ import annotations

import streamlit as st

from app.caches import data as data_caches
from app.caches import run_list
from app.caches import runs as run_caches
from app.caches.run_list import stamp_of
from app.caches.runs import inputs_of
from app.routing import words
from mocoop.classifiers.saved import check_same_data
from mocoop.evaluation.evaluate import Evaluation, evaluate
from mocoop.evaluation.routing_value import RoutingValue, routing_value
from mocoop.runs.run import Run, open_run


def evaluation(run: Run, choice: str) -> Evaluation:
    """Returns the results of a run on its test images: accuracy, measures by class, confusions."""
    return _evaluation(str(run.path), stamp_of(run), inputs_of(run), choice)


@st.cache_data(show_spinner=words.COUNTING, max_entries=32)
def _evaluation(path: str, stamp: float, inputs: str, choice: str) -> Evaluation:
    return evaluate(run_caches.routed_test_items(open_run(path), choice), choice)


def value_of_routing(run: Run, choice: str) -> RoutingValue:
    """Returns the accuracy with a run's router and with other choices, on the test images."""
    return _value_of_routing(str(run.path), stamp_of(run), inputs_of(run), choice)


@st.cache_data(show_spinner=words.TESTING_CHOICES, max_entries=32)
def _value_of_routing(path: str, stamp: float, inputs: str, choice: str) -> RoutingValue:
    run = open_run(path)
    setup = run_list.setup_of(run)
    data = data_caches.dataset(setup.config.data)
    clip = data_caches.backbone(setup.config.backbone)
    check_same_data(run, setup, data, clip)
    cache = run_caches.feature_cache(run)
    return routing_value(run_caches.classifier(run), data, cache, setup.config, choice)

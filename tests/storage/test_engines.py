"""Engines: what is checked before any job starts. tests/cluster/ runs jobs on Ray itself."""

from __future__ import annotations

import sys

import pytest

from mocoop.errors import UserError
from mocoop.storage import ray_cluster
from mocoop.storage.engines import Engine


def double(number):
    """Returns twice the number."""
    return 2 * number


def test_the_local_engine_yields_every_result():
    assert sorted(Engine().map(double, [(1,), (2,), (3,)])) == [(0, 2), (1, 4), (2, 6)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "rays"}, "Unknown engine 'rays'"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"cpus": 0.0}, "cpus greater than 0"),
        ({"address": "auto"}, "An address is for --engine ray"),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(UserError, match=message):
        Engine(**changes)


def test_without_ray_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'Ray is not installed. Install it: pip install "mocoop'):
        list(Engine("ray").map(double, [(1,)]))
    assert list(Engine("ray").map(double, [])) == []  # nothing to do needs no Ray


def test_ray_is_imported_only_when_it_is_asked_for():
    assert "ray" not in sys.modules

"""What runs that are compared differ in: their labels say it, and a line warns of it."""

from __future__ import annotations

from dataclasses import replace

from app.common.run_differences import differing_settings, short_labels
from app.common.words import more_differs
from mocoop.presets import preset

MIXTURE = replace(preset("mocoop"), data="albums", shots=16, seed=1)
COOP = replace(preset("coop"), data="albums", shots=16, seed=1)


def test_the_method_alone_is_the_label_where_nothing_else_differs():
    configs = {"a": MIXTURE, "b": COOP}
    assert short_labels(configs) == {"a": "MoCoOp", "b": "CoOp"}
    assert differing_settings(configs) == {}
    assert more_differs({}) == ""


def test_one_shot_at_another_rate_is_not_only_another_method():
    configs = {"a": MIXTURE, "b": replace(COOP, shots=1, learning_rate=0.8)}
    labels = short_labels(configs)
    assert labels["a"] == "MoCoOp (16 images per class)"
    assert labels["b"] == "CoOp (1 image per class, learning rate 0.8)"
    said = more_differs(differing_settings(configs))
    assert "more than the method: images per class, learning rate." in said
    assert "not the method's alone" in said


def test_the_same_change_in_all_runs_is_no_difference():
    configs = {"a": replace(MIXTURE, epochs=3), "b": replace(COOP, epochs=3)}
    assert differing_settings(configs) == {}


def test_equal_runs_are_told_apart_by_name():
    labels = short_labels({"x": COOP, "y": COOP, "z": MIXTURE})
    assert labels == {"x": "CoOp · x", "y": "CoOp · y", "z": "MoCoOp"}

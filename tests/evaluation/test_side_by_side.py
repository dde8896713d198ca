"""Several methods on the same images: lined up by image, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mocoop.datasets.base import Item
from mocoop.errors import UserError
from mocoop.evaluation.paired import pair_test
from mocoop.evaluation.side_by_side import Answers, common_choices, comparable, line_up
from mocoop.presets import preset
from mocoop.runs.run import RunSetup
from tests.support.routed_example import routed_items

CLASSES = ("cat", "dog", "cow")


def answers(ids, predicted, labels=None, class_names=CLASSES):
    labels = [0] * len(ids) if labels is None else labels
    return Answers(
        tuple(Item(name, label) for name, label in zip(ids, labels, strict=True)),
        class_names,
        np.array(labels),
        np.array(predicted),
        np.full(len(ids), 0.5),
    )


def setup(data="albums", method="coop", classes="all", names=CLASSES):
    config = replace(preset(method), data=data, classes=classes)
    return RunSetup(config, names, {"prompt": ("a {}.",)}, 2, 100.0, "print")


def test_answers_are_those_of_the_classified_images():
    found = Answers.of(routed_items())
    assert [item.id for item in found.items] == ["a", "b", "c", "d"]
    assert found.predicted.tolist() == [0, 1, 1, 0]
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.probability == pytest.approx([0.9, 0.6, 0.8, 0.7])


def test_images_are_matched_by_id_in_any_order():
    first = answers("abcd", [0, 1, 0, 2], [0, 1, 2, 0])
    second = answers("dcba", [0, 2, 1, 1], [0, 2, 1, 0])
    found = line_up({"one": first, "two": second})
    assert found.labels.tolist() == [0, 1, 2, 0]
    assert found.predicted.tolist() == [[0, 1, 0, 2], [1, 1, 2, 0]]
    assert found.right.tolist() == [[True, True, False, False], [False, True, True, True]]
    assert found.disagree.tolist() == [True, False, True, True]
    assert found.won(0, 1).tolist() == [0]
    assert found.won(1, 0).tolist() == [2, 3]
    assert found.pair(0, 1) == pair_test(found.right[0], found.right[1])
    assert found.left_out == 0


def test_images_of_one_run_alone_are_left_out():
    found = line_up({"one": answers("abc", [0, 0, 0]), "two": answers("bcd", [1, 0, 0])})
    assert [item.id for item in found.items] == ["b", "c"]
    assert found.left_out == 2
    assert found.predicted.tolist() == [[0, 0], [1, 0]]


def test_what_cannot_be_lined_up():
    first = answers("ab", [0, 0])
    with pytest.raises(UserError, match="two methods or more"):
        line_up({"one": first})
    with pytest.raises(UserError, match="no image on which all of one, two"):
        line_up({"one": first, "two": answers("cd", [0, 0])})
    with pytest.raises(UserError, match="tested on 3 classes and two on 2 others"):
        line_up({"one": first, "two": answers("ab", [0, 0], class_names=CLASSES[:2])})


def test_runs_of_other_data_are_named():
    setups = {"a": setup("faces"), "b": setup(), "c": setup(method="lasp")}
    kept, notes = comparable(setups)
    assert kept == ["b", "c"]
    assert notes == ["a was trained on faces, not on albums: there are no common test images."]
    kept, notes = comparable({"b": setup(), "d": setup(names=("cat", "dog"))})
    assert kept == ["b"]
    assert "other classes of albums" in notes[0]
    assert comparable({}) == ([], [])


def test_the_classes_that_all_can_be_tested_on():
    assert common_choices([setup(), setup()]) == ("all", "base", "new")
    assert common_choices([setup(), setup(classes="base")]) == ("base", "new", "all")
    assert common_choices([setup(), setup(method="linear-probe", classes="base")]) == ("base",)

"""Macro-F1, mean per-class accuracy, top-5 and confusions: by hand and by plain loops."""

from __future__ import annotations

import doctest

import pytest
import torch
from sklearn.metrics import f1_score

from mocoop.errors import UserError
from mocoop.evaluation import class_measures
from mocoop.evaluation.class_measures import (
    confusion_by_name,
    confusion_counts,
    distinct,
    frequent_mistakes,
    macro_f1,
    mean_class_accuracy,
    top_accuracy,
)
from mocoop.evaluation.evaluate import evaluate
from mocoop.evaluation.measure_table import MEASURES
from tests.support import reference_classes as reference
from tests.support.routed_example import routed_items


def draw(images, classes, seed):
    """Returns probabilities with equal ones among them, and labels of all classes but one."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, 3, (images, classes), generator=generator).float()
    labels = torch.randint(0, classes - 1, (images,), generator=generator)
    return logits.softmax(dim=-1), labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("images", "classes"), [(1, 2), (40, 3), (60, 12)])
def test_as_the_slow_references(images, classes, seed):
    probabilities, labels = draw(images, classes, seed)
    counts = confusion_counts(probabilities, labels)
    assert counts.tolist() == reference.confusion(probabilities, labels)
    assert macro_f1(counts) == pytest.approx(reference.macro_f1(probabilities, labels))
    expected = reference.mean_class_accuracy(probabilities, labels)
    assert mean_class_accuracy(counts) == pytest.approx(expected)
    if classes > 5:
        expected = reference.top_accuracy(probabilities, labels, 5)
        assert top_accuracy(probabilities, labels) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_is_that_of_dassl(seed):
    """Dassl asks scikit-learn for the mean over the classes that there are images of."""
    probabilities, labels = draw(50, 8, seed)
    told = probabilities.argmax(dim=-1)
    expected = f1_score(
        labels, told, average="macro", labels=labels.unique().tolist(), zero_division=0
    )
    found = macro_f1(confusion_counts(probabilities, labels))
    assert found == pytest.approx(100 * expected)


def test_rare_classes_count_as_much_as_frequent_ones():
    """Nine cats told right and one dog told to be a cat: half of the classes, not 90 %."""
    probabilities = torch.tensor([[0.8, 0.2]] * 10)
    labels = torch.tensor([0] * 9 + [1])
    counts = confusion_counts(probabilities, labels)
    assert counts.tolist() == [[9, 0], [1, 0]]
    assert mean_class_accuracy(counts) == 50.0
    # F1 of cats 2 · 9 / (9 + 10), of dogs 0.
    assert macro_f1(counts) == pytest.approx(100 * 18 / 19 / 2)


def test_top_5_says_nothing_of_five_classes():
    probabilities = torch.full((2, 5), 0.2)
    assert top_accuracy(probabilities, torch.tensor([0, 4])) is None
    assert top_accuracy(probabilities, torch.tensor([0, 4]), count=4) == 50.0
    with pytest.raises(UserError, match="count must be at least 1; got 0"):
        top_accuracy(probabilities, torch.tensor([0, 4]), count=0)


def test_top_5_of_probabilities_that_are_all_equal_takes_the_first_five():
    probabilities = torch.full((6, 6), 1 / 6)
    assert top_accuracy(probabilities, torch.arange(6)) == pytest.approx(100 * 5 / 6)


def test_confusion_keeps_classes_of_one_name_apart():
    counts = torch.tensor([[2, 0, 1], [0, 4, 1], [3, 0, 0]])
    found = confusion_by_name(counts, ("missile", "tench", "missile"))
    assert found == {
        "missile": {"missile": 2, "missile (2)": 1},
        "tench": {"tench": 4, "missile (2)": 1},
        "missile (2)": {"missile": 3},
    }
    assert frequent_mistakes(found, 2) == [
        ("missile (2)", "missile", 3),
        ("missile", "missile (2)", 1),
    ]
    assert distinct(("a", "a (2)", "a", "a")) == ("a", "a (2)", "a (3)", "a (4)")


@pytest.mark.parametrize(
    ("probabilities", "labels", "words"),
    [
        (torch.tensor([[2.0, 1.0]]), torch.tensor([0]), "Apply the softmax to logits first"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([2]), "labels from 0 to 1; got 2 to 2"),
        (torch.tensor([[0.5, float("nan")]]), torch.tensor([0]), "got NaN or infinity"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([0.0]), "integer labels"),
    ],
)
def test_what_does_not_fit_is_refused(probabilities, labels, words):
    with pytest.raises(UserError, match=words):
        confusion_counts(probabilities, labels)
    with pytest.raises(UserError, match=words):
        top_accuracy(probabilities, labels, count=1)


@pytest.mark.parametrize("counts", [torch.zeros(2, 2), torch.ones(2, 3), torch.ones(2)])
def test_counts_of_nothing_are_refused(counts):
    with pytest.raises(UserError, match="Make one with confusion_counts"):
        macro_f1(counts)


def test_evaluation_has_them_all():
    """Two cats, one told to be a dog; two dogs, one told to be a cat."""
    found = evaluate(routed_items(), "all")
    assert found.accuracy == found.macro_f1 == found.mean_class_accuracy == 50.0
    assert found.top5_accuracy is None
    assert found.confusion == {"cat": {"cat": 1, "dog": 1}, "dog": {"cat": 1, "dog": 1}}


def test_measures_read_them_from_new_results_and_not_from_old_ones():
    new = {"macro_f1": 40.0, "mean_class_accuracy": 45.0, "top5_accuracy": None}
    names = ("macro-F1", "mean class accuracy", "top-5 accuracy")
    assert [MEASURES[name].read(new) for name in names] == [40.0, 45.0, None]
    assert [MEASURES[name].read({}) for name in names] == [None, None, None]


def test_examples_run():
    """The examples in the docstrings give what they say."""
    failed, tried = doctest.testmod(class_measures)
    assert (failed, tried) == (0, 5)

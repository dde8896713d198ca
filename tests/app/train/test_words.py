"""What the Train page says of results: noise is called noise, and numbers have their sign."""

from __future__ import annotations

import pytest

from app.train import words
from app.train.settings import overfitting
from mocoop.evaluation.over_seeds import SeedMean
from mocoop.evaluation.paired import Interval, pair_test_of_counts

BETTER, WORSE = pair_test_of_counts(50, 40, 5, 5), pair_test_of_counts(50, 5, 40, 5)
NOISE = pair_test_of_counts(15, 2, 3, 1)


def test_a_small_difference_is_called_noise():
    assert words.gain(NOISE, -0.5) == "within noise of zero-shot"
    assert words.gain(BETTER, 35.0) == "+35.0 vs zero-shot"
    assert words.gain(WORSE, -35.0) == "−35.0 vs zero-shot"
    assert words.gain(None, -0.04) == "+0.0 vs zero-shot"


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        (BETTER, "better than zero-shot"),
        (WORSE, "worse than zero-shot"),
        (NOISE, "within noise of zero-shot"),
    ],
)
def test_the_verdict_follows_the_test(test, verdict):
    text = words.against_zero_shot("New classes", test, 55.0)
    assert text.startswith(f"New classes: **{verdict}**: ")
    assert text.endswith(" Zero-shot: 55.0 %.")
    assert "-" not in text.replace("ero-shot", "")
    for name in ("p =", "p <", "bootstrap", "McNemar"):  # these are folded away
        assert name not in text


def test_what_overfitting_settings_did_is_told_as_measured():
    said = words.what_came_out(100.0, 31.2, {"base": NOISE, "new": WORSE})
    assert "100 % of the training images are right, and 31 % of the validation images" in said
    assert "**This is overfitting:** the prompt fits its own training images" in said
    assert "overfitting" not in words.what_came_out(70.0, 60.0, {"base": NOISE})
    assert "Base classes: **within noise of zero-shot** (−4.8 points)." in said
    assert "New classes: **worse than zero-shot** (−35.0 points)." in said
    assert "images are right" not in words.what_came_out(None, None, {"base": NOISE})


def test_what_was_set_asks_and_tells_no_result():
    told = words.filled_in(overfitting(), "CoOp")
    assert "CoOp on *albums*, 1 image per class, base classes only" in told
    assert "Predict first" in told
    assert "Start training" in told
    assert "below" not in told


def test_seeds_that_are_there_are_named():
    assert words.seeds_to_train((1, 2, 3), (1, 2, 3), "about 20 s") == "about 20 s"
    assert words.seeds_to_train((2, 3), (1, 2, 3), "20 s").endswith("in the queue: seed 1")


def test_an_accuracy_has_its_interval_and_its_images():
    found = words.interval_of(50.0, Interval(40.04, 59.96), 1200)
    assert found == "50.0 % [40.0, 60.0] on 1,200 images"
    assert words.interval_of(0.0, Interval(0.0, 79.3), 1).endswith("on 1 image")


def test_seeds_have_mean_and_spread():
    means = {"base": SeedMean(80.04, 1.26), "harmonic_mean": SeedMean(60.0, 0.0)}
    text = words.seeds_in_words((1, 2, 3), means)
    assert "Mean over seeds 1, 2, 3:** base classes **80.0 ± 1.3 %**" in text
    assert "harmonic mean **60.0 ± 0.0 %**" in text


def test_time_beside_a_button():
    assert words.time_needed(None) == words.TIME_UNKNOWN
    assert words.time_needed(23) == "about 20 s"

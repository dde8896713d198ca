"""What the Train page says of results: noise is called noise, and numbers have their sign."""

from __future__ import annotations

import pytest

from app.train import words
from mocoop.evaluation.over_seeds import SeedMean
from mocoop.evaluation.paired import Interval, pair_test_of_counts

BETTER, WORSE = pair_test_of_counts(50, 40, 5, 5), pair_test_of_counts(50, 5, 40, 5)
NOISE = pair_test_of_counts(15, 2, 3, 1)


def test_a_small_difference_is_called_noise():
    assert words.gain(NOISE, -0.5) == "within noise of zero-shot"
    assert words.gain(BETTER, 35.0) == "+35.0 vs zero-shot"
    assert words.gain(WORSE, -35.0) == "-35.0 vs zero-shot"
    assert words.gain(None, -0.04) == "+0.0 vs zero-shot"


@pytest.mark.parametrize(
    ("test", "verdict"), [(BETTER, "better"), (WORSE, "worse"), (NOISE, "within noise")]
)
def test_the_verdict_follows_the_test(test, verdict):
    text = words.against_zero_shot(test, 55.0)
    assert text.startswith("zero-shot 55.0 %, difference ")
    assert text.endswith(f": **{verdict}**")
    assert "-" not in text.replace("zero-shot", "")


def test_an_accuracy_has_its_interval_and_its_images():
    found = words.interval_of(50.0, Interval(40.04, 59.96), 1200)
    assert found == "50.0 % [40.0, 60.0] on 1,200 images"
    assert words.interval_of(0.0, Interval(0.0, 79.3), 1).endswith("on 1 image")


def test_seeds_have_mean_and_spread():
    means = {"base": SeedMean(80.04, 1.26), "harmonic_mean": SeedMean(60.0, 0.0)}
    text = words.seeds_in_words((1, 2, 3), means)
    assert "Mean over seeds 1, 2, 3:** trained half **80.0 ± 1.3 %**" in text
    assert "harmonic mean **60.0 ± 0.0 %**" in text


def test_time_beside_a_button():
    assert words.time_needed(None) == "time unknown"
    assert words.time_needed(23) == "about 20 s"

"""What the lab says, at every setting of its sliders, against the shipped grid's own numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from app.common.words import signed
from app.lab import tables, words
from app.lab.control import LITTLE, MUCH
from app.lab.findings import LARGE, SAME, drift_correlations, router_conditions
from app.lab.handout import as_html, handout
from app.lab.lesson import answers_by_setting, robustness
from app.lab.lesson_figures import figures_of
from app.lab.lessons import LESSONS
from app.lab.terms_words import TERMS, terms
from mocoop.protocols.lab import SUPERVISED
from mocoop.protocols.lab_grid import Key, read_grid

GRID = read_grid()
FINALS = tables.final_table(GRID)


def mean(method, data, half, shots, rate, weight=5.0, epoch=-1):
    """Returns a mean accuracy over the seeds, taken from the grid's trainings themselves."""
    own = weight if method in SUPERVISED else 0.0
    runs = [GRID.runs[Key(method, data, shots, own, rate, seed)] for seed in GRID.axes.seeds]
    return float(np.mean([float(run.accuracy(half)[epoch]) for run in runs]))


def change(data, half, shots, rate):
    """Returns how many points CoOp gains from start to end."""
    end = mean("coop", data, half, shots, rate)
    return end - mean("coop", data, half, shots, rate, epoch=0)


def routing(data, shots, rate):
    """Returns the mean gain of the router over the better way without it."""
    gains = [
        GRID.runs[Key("mocoop", data, shots, 5.0, rate, seed)].routing_of(half)["gain"]
        for seed, half in product(GRID.axes.seeds, ("base", "new"))
    ]
    return float(np.mean(gains))


def expected(key, shots, rate):
    """Returns the right choice of a lesson, reckoned in another way than the page does."""
    if key == "prompts":
        new = change("halves", "new", shots, rate)
        return 0 if new > SAME else 2 if new < -SAME else 1
    if key == "text":
        most, none = max(GRID.axes.text_weights), min(GRID.axes.text_weights)
        base, new = (
            mean("lasp", "halves", half, shots, rate, most)
            - mean("lasp", "halves", half, shots, rate, none)
            for half in ("base", "new")
        )
        return {(True, False): 0, (True, True): 1, (False, True): 2}.get(
            (new > SAME, base > SAME), 3
        )
    if key == "router":
        apart = routing("albums", shots, rate) - routing("details", shots, rate)
        return 0 if apart > LARGE else 2 if apart < -LARGE else 1
    largest = max(abs(change("pictographs", half, shots, rate)) for half in ("base", "new"))
    return 0 if largest <= LITTLE else 1 if largest <= MUCH else 2


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_answers_are_right_at_every_rate_and_number_of_images(lesson):
    found = answers_by_setting(lesson, FINALS)
    assert list(found) == sorted(product(GRID.axes.shots, GRID.axes.learning_rates))
    assert found == {(shots, rate): expected(lesson.key, shots, rate) for shots, rate in found}
    others = [key for key, answer in found.items() if answer != lesson.answer(FINALS)]
    told = robustness(lesson, FINALS)
    assert ("at all 6 " in told) == (not others)
    assert all(f"rate {rate:g} with {shots} per class" in told for shots, rate in others)


@pytest.mark.long
@pytest.mark.parametrize("data", GRID.axes.data)
def test_the_experiment_says_what_the_numbers_say_at_every_setting(data):
    axes = GRID.axes
    for shots, rate, weight in product(axes.shots, axes.learning_rates, axes.text_weights):
        runs = {}
        for method in ("coop", "lasp", "mocoop"):
            own = weight if method in SUPERVISED else 0.0
            runs[method] = tuple(
                GRID.runs[Key(method, data, shots, own, rate, seed)] for seed in axes.seeds
            )
        table = tables.epoch_table(runs)
        found = tables.against_zero_shot(table, axes.epochs)
        for method, (base, new) in found.items():
            for half, gain in (("base", base), ("new", new)):
                start = mean("coop", data, half, shots, rate, epoch=0)
                end = mean(method, data, half, shots, rate, weight)
                assert gain == pytest.approx(end - start)
            text = words.against_zero_shot({method: (base, new)}, SAME, {})
            assert ("at the cost of the new" in text) == (base > SAME and new < -SAME)
            assert ("better on both halves" in text) == (base > SAME and new > SAME)
        seeds = dict.fromkeys(runs, axes.seeds)
        for method, falls in tables.gone_off(runs, seeds, axes.epochs).items():
            expected_falls = {}
            for seed, run in zip(axes.seeds, runs[method], strict=True):
                trained = run.train[1:].tolist()
                means = [sum(trained[i : i + 5]) / 5 for i in range(len(trained) - 4)]
                fall = max(means) - max(means[-1], trained[-1])
                if fall >= 10:
                    expected_falls[seed] = fall
            assert falls == pytest.approx(expected_falls, abs=1e-4)


def test_only_mixtures_at_four_times_the_rate_go_off():
    """What is called overfitting in the lessons is none of it: those trainings do not go off."""
    off = {key for key, run in GRID.runs.items() if run.went_off()}
    assert off
    assert {(key.method, key.rate) for key in off} == {("mocoop", max(GRID.axes.learning_rates))}


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_a_handout_asks_on_its_first_page_and_answers_on_its_second(lesson):
    made = figures_of(lesson.key, GRID, FINALS)
    page = handout(lesson, FINALS, 1, made, "a *note*", True)
    first, second = page.split('<section class="answer">')
    assert as_html(lesson.question) in first
    assert first.count("<li>") == len(lesson.choices) + len(lesson.terms)
    assert all(as_html(TERMS[name]) in first for name in lesson.terms)
    assert as_html(lesson.takeaway(FINALS)) in second
    assert as_html(lesson.reveal(FINALS)) not in first
    assert second.count("<figure>") == len(made)
    assert "a <em>note</em>" in second
    assert "break-before: page" in page
    assert second.count("<svg") == len(made)
    assert "src=" not in page  # it needs no network
    assert len(page) < 2e5


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_a_handout_without_solution_tells_no_answer(lesson):
    page = handout(lesson, FINALS, 1, {}, "a note", False, [(b"png", "*photo*: **bee**")])
    assert page.count("<img") == 1
    assert "<em>photo</em>: <strong>bee</strong>" in page
    assert as_html(lesson.question) in page
    assert '<section class="answer">' not in page
    assert as_html(lesson.takeaway(FINALS)) not in page
    assert len(page) < 1e4


def test_markdown_on_paper_is_escaped():
    assert as_html("a < b & **bold** and *x*") == (
        "a &lt; b &amp; <strong>bold</strong> and <em>x</em>"
    )


def test_drift_and_loss_go_together_within_lasp_at_every_setting_only_if_said_so():
    together = drift_correlations(FINALS)
    assert len(together) == len(GRID.axes.shots) * len(GRID.axes.learning_rates)
    text = LESSONS[1].takeaway(FINALS)
    if "the more it loses" in text:
        assert ("at all 6 combinations" in text) == all(value < 0 for value in together)
    assert "Compare drift only within one method" in text


def test_the_router_figure_shows_the_numbers_of_the_text():
    conditions = router_conditions(FINALS)
    (*_, (_, figure)) = figures_of("router", GRID, FINALS).values()
    dots = [value for trace in figure.data for value in trace.y]
    assert sorted(dots) == pytest.approx(sorted(conditions["gain"]))
    text = LESSONS[2].takeaway(FINALS)
    assert f"{signed(max(dots))} points at best" in text
    assert f"{signed(min(dots))} at worst" in text


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_terms_of_every_lesson_are_explained(lesson):
    assert lesson.terms
    assert terms(lesson.terms).count("\n- ") == len(lesson.terms) - 1

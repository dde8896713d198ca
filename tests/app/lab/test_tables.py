"""The lab's tables, figures and lessons: numbers by hand, and sentences that follow them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from app.common.theme import METHOD_COLOURS
from app.lab import figures as lab_figures
from app.lab import findings as lab_findings
from app.lab import tables as lab_tables
from app.lab import words
from app.lab.findings import LARGE, SAME
from app.lab.lessons import LESSONS
from mocoop.protocols.lab import OWN_RATE
from mocoop.protocols.lab_grid import Axes, Grid, Key, read_grid
from tests.support.lab_example import finals, lab_run

RUNS = {
    "coop": (lab_run([10, 12, 8], [10, 6, 4]),),
    "mocoop": (lab_run([10, 10, 14], [10, 11, 12]),),
}
PROMPTS, TEXT, ROUTER, CONTROL = LESSONS


@pytest.fixture(scope="module")
def shipped():
    return lab_tables.final_table(read_grid())


def test_epochs_as_rows():
    table = lab_tables.epoch_table(RUNS)
    coop = table[table["method"] == "coop"]
    assert coop["epoch"].tolist() == [0, 1, 2]
    assert coop["base"].tolist() == [50, 60, 40]
    assert coop["new"].tolist() == [50, 30, 20]
    assert coop["HM"].tolist() == pytest.approx([50, 40, 2 * 40 * 20 / 60])
    assert coop["drift new"].tolist() == pytest.approx([0, 0.1, 0.1])
    # 10 of 20 right: all of the upper bin, sure of 100 %, none of the lower, sure of 50 %.
    assert coop["error base"].iloc[0] == pytest.approx(25)
    assert np.isnan(coop["train"].iloc[0])


def test_zero_shot_is_coop_before_training():
    table = lab_tables.epoch_table(RUNS)
    shown = lab_tables.table_at(table, 2)
    assert shown["method"].tolist() == ["Zero-shot", "CoOp", "MoCoOp"]
    assert shown["new"].tolist() == [50, 20, 60]
    assert lab_tables.zero_shot(table) == {"base": 50, "new": 50}
    without = lab_tables.epoch_table({"mocoop": RUNS["mocoop"]})
    assert lab_tables.zero_shot(without) == {}
    assert lab_tables.table_at(without, 0)["method"].tolist() == ["MoCoOp"]


def test_reliability_by_hand():
    frame = lab_tables.reliability_frame(RUNS, 2)
    rows = frame[(frame["method"] == "coop") & (frame["half"] == "new")]
    assert rows["confidence"].tolist() == [50, 100]
    assert rows["right"].tolist() == [0, 40]
    assert rows["images"].tolist() == [10, 10]
    zero = frame[(frame["method"] == "zero-shot") & (frame["half"] == "new")]
    assert zero["right"].tolist() == [0, 100]


def test_rare_bins_are_left_out():
    run = lab_run([10, 10], [10, 10])
    run.count[..., 3] = 1
    run.count[..., 7] = 100
    frame = lab_tables.reliability_frame({"lasp": (run,)}, 1)
    assert 1 not in frame["images"].tolist()


def grid_of(runs) -> Grid:
    """Returns a grid of trainings by (method, data, shots, weight, rate, seed)."""
    axes = Axes(("a",), (16,), (0.0, 5.0), (0.2,), (1, 2), 1)
    return Grid(axes, "", "", {Key(*key): run for key, run in runs.items()})


def test_trainings_are_those_of_one_setting():
    runs = {
        ("coop", "a", 16, 0.0, 0.2, 1): lab_run([10, 13], [10, 8]),
        ("coop", "a", 16, 0.0, 0.2, 2): lab_run([10, 11], [10, 4]),
        ("coop", "a", 16, 0.0, 0.8, 1): lab_run([10, 20], [10, 20]),
        ("coop", "b", 16, 0.0, 0.2, 1): lab_run([10, 20], [10, 20]),
        ("coop", "a", 4, 0.0, 0.2, 1): lab_run([10, 20], [10, 20]),
        ("lasp", "a", 16, 5.0, 0.2, 1): lab_run([10, 11], [10, 11]),
        ("lasp", "a", 16, 1.0, 0.2, 1): lab_run([10, 20], [10, 20]),
    }
    keys = list(runs)
    found = lab_tables.trainings_of(grid_of(runs), "a", 16, 0.2, 5.0)
    assert found == {"coop": [runs[keys[0]], runs[keys[1]]], "lasp": [runs[keys[5]]]}


def test_every_method_is_compared_with_the_same_zero_shot():
    """MoCoOp starts from its own prompts; its gain is still counted from zero-shot."""
    grid = grid_of(
        {
            ("coop", "a", 16, 0.0, 0.2, 1): lab_run([10, 12], [10, 8]),
            ("mocoop", "a", 16, 5.0, 0.2, 1): lab_run([10, 12], [4, 14]),
        }
    )
    table = lab_tables.final_table(grid)
    assert table["untrained"].tolist() == [50] * 4
    assert lab_findings.change(table, "mocoop", "new", data="a") == 20
    assert lab_findings.change(table, "coop", "new", data="a") == -10


def test_final_table_has_gain_and_headroom():
    routing = [60.0, 58.0, 50.0, 59.0, 80.0, 1.0, 0.5]
    grid = grid_of(
        {
            ("mocoop", "a", 16, 5.0, 0.2, 1): lab_run([10, 12], [10, 8], routing=routing),
            ("coop", "a", 16, 0.0, 0.8, 1): lab_run([10, 12], [10, 8]),
        }
    )
    table = lab_tables.final_table(grid)
    mixture = table[(table["method"] == "mocoop") & (table["half"] == "new")].iloc[0]
    assert (mixture["before"], mixture["after"]) == (50, 40)
    assert (mixture["gain"], mixture["headroom"]) == (1, 30)
    assert (mixture["weight"], mixture["rate"], mixture["seed"]) == (5, 0.2, 1)
    assert table[table["method"] == "coop"]["gain"].isna().all()


def test_points_of_a_scatter_say_their_settings():
    rows = finals([{"method": "mocoop", "half": "new", "weight": 5.0, "gain": 2, "headroom": 9}])
    (points,) = lab_figures.scatter(rows, "headroom", "gain", ("x", "y"), "data").data
    assert points.name == "halves"
    assert points.customdata[0] == "halves · 16 per class · rate 0.2 · text weight 5 · seed 1"


def test_lines_end_at_the_epoch_and_keep_their_range():
    table = lab_tables.epoch_table(RUNS)
    early = lab_figures.accuracy_lines(table, 1, 2, {"base": 50.0, "new": 50.0})
    late = lab_figures.accuracy_lines(table, 2, 2, {"base": 50.0, "new": 50.0})
    lines = {(trace.name, trace.xaxis): trace for trace in early.data}
    assert list(lines["CoOp", "x2"].x) == [0, 1]
    assert list(lines["CoOp", "x"].y) == [51]  # before the first epoch it is not known
    assert list(lines["CoOp", "x3"].y) == [50, 30]
    assert list(lines["Zero-shot", "x2"].y) == [50, 50]
    assert lines["CoOp", "x"].line.color == METHOD_COLOURS["coop"]
    assert early.layout.yaxis.range == late.layout.yaxis.range
    only = lab_figures.accuracy_lines(table, 0, 2, {})
    assert all(trace.mode == "markers" for trace in only.data)


SEVERAL = {"coop": (lab_run([10, 12, 8], [10, 6, 4]), lab_run([10, 16, 16], [10, 8, 2]))}


def test_several_seeds_are_a_mean_and_a_band_from_lowest_to_highest():
    table = lab_tables.epoch_table(SEVERAL).set_index("epoch")
    assert table["base"].tolist() == [50, 70, 60]
    assert table["base low"].tolist() == [50, 60, 40]
    assert table["base high"].tolist() == [50, 80, 80]
    assert table["new"].tolist() == [50, 35, 15]
    assert table["HM"].iloc[1] == pytest.approx((40 + 2 * 80 * 40 / 120) / 2)
    assert table["seeds"].tolist() == [2, 2, 2]
    figure = lab_figures.accuracy_lines(table.reset_index(), 2, 2, {})
    band, line = (trace for trace in figure.data if trace.xaxis == "x2")
    assert band.fill == "toself"
    assert list(band.y) == [50, 80, 80, 40, 60, 50]
    assert list(line.y) == [50, 70, 60]


def test_a_single_seed_has_no_band():
    figure = lab_figures.accuracy_lines(lab_tables.epoch_table(RUNS), 2, 2, {})
    assert not [trace for trace in figure.data if trace.fill]


def test_a_shorter_seed_ends_the_mean():
    runs = {"coop": (lab_run([10, 12, 8], [10, 6, 4]), lab_run([10, 12], [10, 6]))}
    assert lab_tables.epoch_table(runs)["epoch"].tolist() == [0, 1]


def test_bins_of_several_seeds_are_counted_together():
    frame = lab_tables.reliability_frame(SEVERAL, 1)
    rows = frame[(frame["method"] == "coop") & (frame["half"] == "base")]
    assert rows["images"].tolist() == [20, 20]
    assert rows["right"].tolist() == [100 * 8 / 20, 100]


def test_trainings_that_go_off_are_counted():
    steady, fallen = lab_run([10] * 13, [10] * 13), lab_run([10] * 13, [10] * 13)
    fallen.train[1:] = torch.tensor([60.0] * 6 + [40.0] * 6)
    runs = {"coop": (steady, steady), "mocoop": (steady, fallen)}
    seeds = {"coop": (1, 3), "mocoop": (1, 3)}
    off = lab_tables.gone_off(runs, seeds, 12)
    assert off == {"mocoop": {3: pytest.approx(20.0)}}
    assert lab_tables.gone_off(runs, seeds, 6) == {}
    text = words.diverged(off)
    assert "MoCoOp, seed 3 (20 points below its best)" in text
    assert "not overfitting" in text
    told = words.against_zero_shot({"coop": (9, -9), "mocoop": (9, -9)}, SAME, off)
    coop, mocoop = told.split("\n")
    assert "at the cost of the new ones" in coop
    assert "not judged, because the training of seed 3 diverged" in mocoop


def test_a_training_that_ends_high_again_has_not_gone_off():
    run = lab_run([10] * 13, [10] * 13)
    run.train[1:] = torch.tensor([60.0] * 6 + [40.0] * 5 + [59.0])
    assert run.fall() == pytest.approx(1.0)
    assert not run.went_off()


def test_gains_are_against_zero_shot():
    table = lab_tables.epoch_table(RUNS)
    found = lab_tables.against_zero_shot(table, 2)
    assert found == {"coop": (-10, -30), "mocoop": (20, 10)}
    assert lab_tables.against_zero_shot(table[table["method"] == "mocoop"], 2) == {}


@pytest.mark.parametrize(
    ("base", "new", "verdict"),
    [
        (10, -10, "learned the base classes at the cost of the new ones"),
        (0, -10, "worse on the new classes and no better on the base classes"),
        (10, 10, "better on both halves"),
        (0, 0, "about the same on both halves"),
        (10, 0, "better on the base classes, about the same on the new ones"),
        (-10, 10, "worse on the base classes, better on the new ones"),
    ],
)
def test_gains_have_a_verdict(base, new, verdict):
    text = words.against_zero_shot({"coop": (base, new)}, SAME, {})
    assert text.startswith("**CoOp**: ")
    assert text.endswith(f"{verdict}.")


def test_paths_end_with_a_marker():
    figure = lab_figures.drift_paths(lab_tables.epoch_table(RUNS), 1)
    assert list(figure.data[0].marker.size) == [0, 12]
    assert list(figure.data[0].y) == [50, 30]


def test_coop_is_a_level_among_weights():
    means = lab_findings.by_weight(
        finals(
            [
                {"method": "coop", "half": "new", "weight": 0.0, "before": 60, "after": 50},
                {"method": "lasp", "half": "new", "weight": 0.0, "before": 60, "after": 52},
                {"method": "lasp", "half": "new", "weight": 5.0, "before": 60, "after": 58},
            ]
        )
    )
    coop, lasp = lab_figures.weight_lines(means).data
    assert list(coop.y) == [50, 50]
    assert (list(lasp.x), list(lasp.y)) == (["0", "5"], [52, 58])


def overfitting(base: float, new: float, **more):
    """Returns trainings on halves in which CoOp's accuracy changes by so much."""
    rows = []
    for method, weight in (("coop", 0.0), ("lasp", 5.0), ("mocoop", 5.0)):
        for half, change in (("base", base), ("new", new)):
            row = {"method": method, "half": half, "weight": weight} | more
            rows.append(row | {"before": 60.0, "after": 60.0 + change})
    return finals(rows)


@pytest.mark.parametrize(
    ("base", "new", "choice", "words"),
    [
        (5, 5, 0, "did not overfit"),
        (5, 1, 1, "did not overfit"),
        (5, -9, 2, "CoOp gained on base classes"),
        (-1, -9, 2, "hardly changes (−1.0 points)"),
        (-4, -9, 2, "lost too (−4.0 points), but less than the new ones (−9.0)"),
        (-9, -4, 2, "lost on both halves (−9.0 points on base, −4.0 on new)"),
    ],
)
def test_lesson_on_overfitting_follows_the_numbers(base, new, choice, words):
    table = overfitting(base, new)
    assert PROMPTS.answer(table) == choice
    assert words in PROMPTS.takeaway(table)
    assert "is right on 60.0 % of its training images" in PROMPTS.reveal(table)


def test_lesson_on_overfitting_says_what_was_memorised():
    assert "memorised some" in PROMPTS.takeaway(overfitting(-9, -9.5, **{"train after": 90.0}))
    few = overfitting(5, -9, shots=2, **{"train after": 99.0})
    both = PROMPTS.takeaway(pd.concat([overfitting(5, -9), few], ignore_index=True))
    assert "not memorised" in both
    assert "With 2 images per class it memorises them" in both
    assert "99.0 % of the training images" in both
    assert "memorises them" not in PROMPTS.takeaway(overfitting(5, -9))


def test_lesson_on_overfitting_is_of_its_set_and_the_own_rate():
    others = [overfitting(9, 9, data="albums"), overfitting(9, -4, rate=0.8)]
    table = pd.concat([overfitting(5, -9), *others], ignore_index=True)
    assert PROMPTS.answer(table) == 2
    assert "**−9.0** on the new classes" in PROMPTS.reveal(table)


def supervised(base: float, new: float, drift_of_most: float = 0.1):
    """Returns trainings of LASP with and without text loss, which brings so much."""
    rows = []
    for half, gain in (("base", base), ("new", new)):
        none = {"method": "lasp", "half": half, "weight": 0.0, "before": 60.0, "after": 50.0}
        rows.append(none | {"drift": 0.4})
        most = none | {"weight": 20.0, "after": 50.0 + gain, "drift": drift_of_most}
        rows += [most, most | {"seed": 2}]
    return finals(rows)


@pytest.mark.parametrize(
    ("base", "new", "choice", "words"),
    [
        (0, 8, 0, "without a loss on base classes"),
        (-5, 8, 0, "with a loss on base classes"),
        (8, 8, 1, "without a loss on base classes"),
        (8, 0, 2, "but gained little here"),
        (0, 0, 3, "but gained little here"),
    ],
)
def test_lesson_on_supervision_follows_the_numbers(base, new, choice, words):
    table = supervised(base, new)
    assert TEXT.answer(table) == choice
    assert words in TEXT.takeaway(table)
    assert "from 0.40 to 0.10" in TEXT.reveal(table)


def test_lesson_on_supervision_reads_the_correlation():
    told = TEXT.takeaway(supervised(0, 8))
    assert "the more it loses" in told
    assert "at all 1 combinations" in told
    assert "drift did not reduce the accuracy" in TEXT.takeaway(
        supervised(0, 8, drift_of_most=0.7)
    )
    assert "says little" in TEXT.takeaway(supervised(0, 0))


def routed(gains, headrooms, apart=0.0):
    """Returns mixtures whose router gains so much, on three settings.

    The first row is of albums, where the lesson's settings gain `apart` more than on details.
    """
    rows = []
    for half in ("base", "new"):
        for place, (gain, headroom) in enumerate(zip(gains, headrooms, strict=True)):
            row = {"method": "mocoop", "half": half, "weight": 5.0, "shots": (16, 2, 4)[place]}
            row |= {"data": "albums", "before": 60.0, "after": 60.0 + gain}
            row |= {"gain": gain, "headroom": headroom}
            row |= {"router": 60.0 + gain, "uniform": 60.0, "random": 50.0, "best_single": 50.0}
            rows.append(row | {"oracle": 50.0 + headroom})
        less = {"router": 60.0 + gains[0] - apart, "gain": gains[0] - apart}
        rows.append(rows[-len(gains)] | {"data": "details"} | less)
    return finals(rows)


@pytest.mark.parametrize(
    ("gains", "headrooms", "words"),
    [
        ((5, 1, 1), (30, 20, 10), "gains more where the experts differ more"),
        ((5, 1, 1), (30, 20, 10), "never costs more than 2 points"),
        ((1, 1.5, 0), (10, 20, 5), "need no router"),
        ((-5, -1, 4), (30, 20, 10), "Where the experts differ more, it chooses worse"),
        ((5, -5, 1), (10, 10, 10), "hardly depends on how much"),
        ((5, -5, 1), (10, 10, 10), "before you rely on it"),
    ],
)
def test_lesson_on_routers_follows_the_numbers(gains, headrooms, words):
    assert words in ROUTER.takeaway(routed(gains, headrooms))


@pytest.mark.parametrize(("apart", "choice"), [(20, 0), (10, 1), (-3, 1), (-20, 2)])
def test_lesson_on_routers_compares_two_sets(apart, choice):
    table = routed((5, 1, 1), (30, 20, 10), apart)
    assert ROUTER.answer(table) == choice
    assert ("the style decides" in ROUTER.takeaway(table)) == (choice == 0)
    told = ROUTER.reveal(table)
    assert "On *albums* the router's choice is right on **65.0 %**" in told
    assert "equally on 60.0 %, the best single expert on 50.0 %: **+5.0** points" in told
    assert f"On *details* the router's choice is right on **{65 - apart:.1f} %**" in told


def test_sentences_are_true_for_the_shipped_trainings(shipped):
    """What the lessons say of the shipped numbers, reckoned here in another way."""
    grid = read_grid()
    lesson = {
        key: run for key, run in grid.runs.items() if (key.shots, key.rate) == (16, OWN_RATE)
    }
    changes, held = [], {}
    for key, run in lesson.items():
        accuracy = run.accuracy("new")
        if key.data == "halves" and key.method == "coop":
            changes.append(float(accuracy[-1] - accuracy[0]))
        if key.data == "halves" and key.method == "lasp":
            held.setdefault(key.weight, []).append(float(accuracy[-1]))
    mean = sum(changes) / len(changes)
    assert PROMPTS.answer(shipped) == (0 if mean > SAME else 2 if mean < -SAME else 1)
    assert f"{abs(mean):.1f}** on the new classes" in PROMPTS.reveal(shipped)
    gain = np.mean(held[max(held)]) - np.mean(held[0])
    assert (TEXT.answer(shipped) in (0, 1)) == (gain > SAME)
    assert f"{abs(gain):.1f}** points on new" in TEXT.reveal(shipped)
    gains = {}
    for data in ("albums", "details"):
        rows = [
            run.routing_of(half)
            for key, run in lesson.items()
            for half in ("base", "new")
            if (key.method, key.data, key.weight) == ("mocoop", data, 5)
        ]
        gains[data] = np.mean(
            [row["router"] - max(row["uniform"], row["best_single"]) for row in rows]
        )
        assert f"{abs(gains[data]):.1f}** points" in ROUTER.reveal(shipped)
    apart = gains["albums"] - gains["details"]
    assert ROUTER.answer(shipped) == (0 if apart > LARGE else 2 if apart < -LARGE else 1)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_every_lesson_has_one_right_choice_among_its_own(lesson, shipped):
    assert 0 <= lesson.answer(shipped) < len(lesson.choices)
    assert len(set(lesson.choices)) == len(lesson.choices)
    assert lesson.takeaway(shipped)

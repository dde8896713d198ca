"""A typed prompt and an edited group in tables, words and figures, from numbers made by hand."""

from __future__ import annotations

from dataclasses import replace

from app.routing import typed_figures, typed_tables, typed_words
from mocoop.evaluation.paired import Interval, PairTest
from mocoop.evaluation.typed_prompt import GroupEffect, PartScore

TYPED = [PartScore("all", "", 10, 40.0), PartScore("role", "many", 4, 90.0),
         PartScore("role", "large", 6, 7.0)]  # fmt: skip
PLAIN = [PartScore("all", "", 10, 30.0), PartScore("role", "many", 4, 30.0),
         PartScore("role", "large", 6, 30.0)]  # fmt: skip


def test_parts_stand_beside_zero_shot():
    table = typed_tables.parts_table(TYPED, PLAIN)
    assert table["part"].tolist() == ["all", "role: many", "role: large"]
    assert table["difference"].tolist() == [10, 60, -23]
    assert typed_tables.best_and_worst(table) == (
        "It gains most on role: many (+60.0 points). It loses most on role: large (−23.0 points)."
    )
    figure = typed_figures.part_bars(table)
    assert [list(bars.x) for bars in figure.data] == [[40, 90, 7], [30, 30, 30]]


def test_parts_that_do_not_change():
    table = typed_tables.parts_table(PLAIN, PLAIN)
    assert (
        typed_tables.best_and_worst(table)
        == "The accuracy is the same on every part of the test images."
    )
    assert typed_tables.best_and_worst(table.head(1)) == ""
    lost = typed_tables.parts_table([PLAIN[0], replace(PLAIN[1], accuracy=10.0)], PLAIN[:2])
    assert typed_tables.best_and_worst(lost) == "It loses most on role: many (−20.0 points)."


def test_against_zero_shot():
    clear = PairTest(0, 9, 1, 5, 0.02, 53.3, Interval(20.0, 80.0))
    assert typed_words.against_zero_shot(clear) == (
        "+53.3 points against zero-shot [+20.0, +80.0]: better"
    )
    lost = replace(clear, difference=-53.3)
    assert typed_words.against_zero_shot(lost).endswith("worse")
    assert typed_words.against_zero_shot(replace(clear, p_value=0.4)).endswith(
        "no clear difference"
    )


def test_an_edited_group_beside_the_run():
    was, now = GroupEffect(30.0, 70.0, (60.0, 40.0)), GroupEffect(20.0, 50.0, (10.0, 90.0))
    table = typed_tables.effect_table(was, now, 0.5, expert=1)
    assert table["as in the run"].tolist() == ["1.000", "30.0", "70.0", "40.0"]
    assert table["edited"].tolist() == ["0.500", "20.0", "50.0", "90.0"]
    target = typed_tables.target_table(("a", "b"), was, now)
    figure = typed_figures.target_bars(target, {"a": "#111111", "b": "#222222"})
    assert [list(bars.x) for bars in figure.data] == [[10, 90], [60, 40]]

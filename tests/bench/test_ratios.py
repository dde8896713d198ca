"""The check of speed ratios fails on a loss that stays, and on nothing else."""

from __future__ import annotations

import json

import pytest

from mocoop.bench import ratios
from mocoop.bench.method_worker import MethodCase
from mocoop.bench.ratios import LOSS, LOSS_ELSEWHERE, Verdict, check, ratio_by_turns


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for what the steps take."""
    now = [0.0]
    monkeypatch.setattr(ratios.time, "process_time", lambda: now[0])
    return now


def taking(clock, *seconds):
    """Returns a step that takes the given CPU seconds one after the other, then the last."""
    left = list(seconds)

    def step():
        clock[0] += left.pop(0) if len(left) > 1 else left[0]

    return step


def test_the_ratio_is_the_median_of_plain_by_ours(clock):
    plain = taking(clock, 9.0, 9.0, 4.0, 400.0, 4.0)  # the first two warm up
    assert ratio_by_turns(plain, taking(clock, 2.0), 3) == 2.0


def test_short_steps_are_counted_together(clock):
    ours = taking(clock, 0.001)
    assert ratio_by_turns(taking(clock, 0.01), ours, 1) == pytest.approx(10)
    assert ratios._count(ours) == round(ratios.LONG_ENOUGH / 0.001)


@pytest.mark.parametrize(
    ("ratio", "allowed", "lost"),
    [(8.1, LOSS, False), (7.9, LOSS, True), (12.0, LOSS, False), (6.1, LOSS_ELSEWHERE, False)],
)
def test_more_than_a_fifth_is_a_loss(ratio, allowed, lost):
    assert Verdict("a path", ratio, 10.0, allowed).lost is lost


def test_a_busy_moment_is_no_loss(clock):
    """The first try finds half the speed, the next one the usual one."""
    ours = taking(clock, *[2.0] * 5, 1.0)
    verdict = check("a path", (taking(clock, 10.0), ours), 10.0, LOSS, rounds=3)
    assert verdict.ratio == 10.0
    assert not verdict.lost


def test_a_loss_that_stays_is_told(clock):
    verdict = check("a path", (taking(clock, 7.0), taking(clock, 1.0)), 10.0, LOSS, rounds=3)
    assert verdict.lost
    assert "7.00 times as fast as plain, 10.00 stored (-30 %)  more than 20 % lost" in str(verdict)


def test_a_path_without_a_stored_ratio_is_told(clock):
    verdict = check("new", (taking(clock, 7.0), taking(clock, 1.0)), None, LOSS, rounds=3)
    assert verdict.lost
    assert "nothing is stored" in str(verdict)


def test_every_path_is_stored_with_how_it_was_made():
    stored = json.loads(ratios.store_file().read_text())
    assert list(stored["ratios"]) == list(ratios.PATHS)
    assert all(ratio > 1 for ratio in stored["ratios"].values())
    assert set(stored) == set(ratios.document({}))


@pytest.mark.long
def test_the_command_measures_stores_and_fails(tmp_path, monkeypatch, capsys):
    """On one small path: stored and found again, then against a ratio that nothing reaches."""
    case = MethodCase("ours", "coop", classes=2, batch=2, backbone="demo")
    monkeypatch.setattr(ratios, "PATHS", {"a path": case})
    monkeypatch.setattr(ratios, "store_file", lambda: tmp_path / "ratios.json")
    monkeypatch.setattr(ratios, "ROUNDS", 1)
    assert ratios.main(["--write"]) == 0
    values = json.loads((tmp_path / "ratios.json").read_text())
    for ratio, code in ((0.1, 0), (1e6, 1)):
        values["ratios"]["a path"] = ratio
        (tmp_path / "ratios.json").write_text(json.dumps(values))
        assert ratios.main([]) == code
    assert "A fast path became slower" in capsys.readouterr().out
    values["processor"] = "another one"
    (tmp_path / "ratios.json").write_text(json.dumps(values))
    ratios.main([])
    assert "are of another processor (another one)" in capsys.readouterr().out

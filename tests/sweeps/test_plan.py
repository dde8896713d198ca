"""The candidates of a sweep, and the rungs on which they are compared."""

from __future__ import annotations

import pytest

from mocoop.errors import UserError
from mocoop.sweeps.halving import total_epochs
from mocoop.sweeps.plan import Halving, Search, Span, Sweep, check

GRID = {"learning_rate": (0.1, 0.2), "num_chosen": (1, 2)}


def test_a_grid_is_every_combination_of_every_method():
    sweep = Sweep(("digits",), ("coop", "mocoop"), grid=GRID)
    assert [candidate.words for candidate in sweep.candidates()][:5] == [
        "coop, learning_rate 0.1, num_chosen 1",
        "coop, learning_rate 0.1, num_chosen 2",
        "coop, learning_rate 0.2, num_chosen 1",
        "coop, learning_rate 0.2, num_chosen 2",
        "mocoop, learning_rate 0.1, num_chosen 1",
    ]
    configs = sweep.configs(sweep.candidates()[4])
    assert list(configs) == [("digits", 16, 1), ("digits", 16, 2), ("digits", 16, 3)]
    config = configs["digits", 16, 3]
    assert (config.method, config.learning_rate, config.num_chosen) == ("mocoop", 0.1, 1)
    assert config.validation == "all"


def test_random_candidates_are_in_range_and_the_same_every_time():
    spans = {"learning_rate": Span(0.001, 1.0, "log"), "batch_size": Span(4, 6, whole=True),
             "schedule": ("cosine", "constant")}  # fmt: skip
    sweep = Sweep(("digits",), ("coop", "lasp"), search=Search(40, spans, seed=3))
    changes = [candidate.changes for candidate in sweep.candidates()]
    assert len(changes) == 80
    assert changes[:40] == changes[40:]  # both methods have the same ones
    assert changes == [candidate.changes for candidate in sweep.candidates()]
    rates = [change["learning_rate"] for change in changes]
    assert all(0.001 <= rate <= 1.0 for rate in rates)
    assert 8 < sum(rate < 0.0316 for rate in rates[:40]) < 32  # the middle of the log scale
    assert {change["batch_size"] for change in changes} == {4, 5, 6}
    assert {change["schedule"] for change in changes} == {"cosine", "constant"}
    other = Sweep(("digits",), ("coop",), search=Search(40, spans, seed=4))
    assert [candidate.changes for candidate in other.candidates()] != changes[:40]


def test_a_small_range_has_no_candidate_twice():
    sweep = Sweep(("digits",), ("coop",), search=Search(10, {"batch_size": (4, 8)}))
    assert {c.changes["batch_size"] for c in sweep.candidates()} == {4, 8}
    assert len(sweep.candidates()) == 2


def test_rungs_grow_by_the_factor_up_to_all_epochs():
    sweep = Sweep(("digits",), ("coop",), settings={"epochs": 20}, grid=GRID)
    assert sweep.rungs() == (20,)
    halved = Sweep(("digits",), ("coop",), settings={"epochs": 20}, grid=GRID,
                   halving=Halving(2, 3))  # fmt: skip
    assert halved.rungs() == (2, 6, 18, 20)
    assert [halved.kept(number) for number in (9, 4, 3, 1)] == [3, 2, 1, 1]
    # 4 candidates train 2 epochs, 2 of them 4 more, 1 another 12 and 2; each with three seeds
    assert total_epochs(halved) == 3 * (4 * 2 + 2 * 4 + 12 + 2)


def test_a_relative_path_means_the_same_on_every_node(tmp_path, monkeypatch):
    (tmp_path / "pets").mkdir()
    monkeypatch.chdir(tmp_path)
    sweep = Sweep(("pets",), ("coop",), grid=GRID)
    configs = sweep.configs(sweep.candidates()[0])
    assert {name for name, _, _ in configs} == {"pets"}
    assert {config.data for config in configs.values()} == {str(tmp_path / "pets")}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (Sweep(("digits",), ("zero-shot",), grid=GRID), "zero-shot does not learn prompts"),
        (Sweep(("digits",), ("tip-adapter-f",), grid=GRID), "cannot be paused"),
        (
            Sweep(("digits",), ("coop",), settings={"validation": "train"}, grid=GRID),
            "no validation images to choose on",
        ),
        (Sweep(("digits",), ("coop",), settings={"epochs": 0}, grid=GRID), "nothing to compare"),
    ],
)
def test_what_cannot_be_compared_is_refused(sweep, message):
    with pytest.raises(UserError, match=message):
        check(sweep)

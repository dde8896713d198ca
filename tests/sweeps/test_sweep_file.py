"""Sweeps are read from YAML files; every mistake is told with its line."""

from __future__ import annotations

import pytest

from mocoop.errors import UserError
from mocoop.shots import ALL_SHOTS
from mocoop.sweeps.plan import Halving, Search, Span
from mocoop.sweeps.sweep_file import read_sweep

GOOD = """\
data: [digits, details]
methods: mocoop
shots: [4, all]
seeds: [1, 2]
settings:
  epochs: 10
grid:
  learning_rate: [0.1, 1e-3, 1]
  num_chosen: 1
halving: {first: 2}
"""


def read(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return read_sweep(file)


def test_a_whole_file(tmp_path):
    sweep = read(tmp_path, GOOD)
    assert sweep.data == ("digits", "details")
    assert sweep.methods == ("mocoop",)
    assert sweep.shots == (4, ALL_SHOTS)
    assert sweep.seeds == (1, 2)
    assert sweep.settings == {"epochs": 10}
    # 1e-3 is a text for YAML, and 1 is a whole number
    assert sweep.grid == {"learning_rate": (0.1, 0.001, 1.0), "num_chosen": (1,)}
    assert sweep.halving == Halving(2, 3)


def test_a_search(tmp_path):
    sweep = read(
        tmp_path,
        """\
data: digits
methods: [coop]
search:
  trials: 5
  settings:
    learning_rate: {from: 1e-3, to: 1, scale: log}
    batch_size: {from: 8, to: 32}
    schedule: [cosine, constant]
""",
    )
    spans = {
        "learning_rate": Span(0.001, 1.0, "log"),
        "batch_size": Span(8, 32, "linear", whole=True),
        "schedule": ("cosine", "constant"),
    }
    assert sweep.search == Search(5, spans, 0)
    assert len(sweep.candidates()) == 5


HEAD = "data: digits\nmethods: coop\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.yaml: the file: expected keys with values; got None"),
        ("data: [", "mine.yaml cannot be read: while parsing"),
        (GOOD + "gird: {}\n", "line 11: Unknown key 'gird'.* Did you mean 'grid'"),
        (HEAD, "either a grid .* or a search"),
        (HEAD + "grid: {}\n", "line 3: the grid is empty"),
        (HEAD + "grid:\n", "line 3: the grid is empty"),
        (HEAD + "grid: [1]\n", r"line 3: grid: expected keys with values; got \[1\]"),
        (HEAD + "grid:\n  learning_rate: []\n", "line 4: learning_rate has no value to try"),
        (HEAD + "grid:\n  lerning_rate: [1]\n",
         "line 4: Unknown setting 'lerning_rate'.* Did you mean 'learning_rate'"),
        (HEAD + "grid:\n  seed: [1, 2]\n", "line 4: give seeds at the top of the file"),
        (HEAD + "grid:\n  epochs: [1, 1]\n", "line 4: epochs has the same value twice"),
        (HEAD + "grid:\n  epochs: [1]\n  epochs: [2]\n", "given twice, on the lines 4 and 5"),
        (HEAD + "grid:\n  epochs: [many]\n", "line 4: coop, epochs many: Setting epochs expects"),
        (HEAD + "grid:\n  batch_size: [8]\n  learning_rate: [-1]\n",
         "line 5: coop, batch_size 8, learning_rate -1: learning_rate must be at least 0"),
        (HEAD + "settings:\n  epochs: 2\ngrid:\n  epochs: [1]\n", "line 4: epochs is varied too"),
        ("data: digits\nmethods: copo\ngrid:\n  epochs: [1]\n", "line 2: Unknown method 'copo'"),
        ("data: digits\nmethods: zero-shot\ngrid:\n  views: [1]\n", "line 2: zero-shot does not"),
        ("methods: coop\ngrid:\n  epochs: [1]\n", "data is missing or empty"),
        (HEAD + "seeds: []\ngrid:\n  epochs: [1]\n", "line 3: seeds is empty"),
        (HEAD + "seeds: [1, 1]\ngrid:\n  epochs: [1]\n", "line 3: seeds: expected different"),
        (HEAD + "shots: few\ngrid:\n  epochs: [1]\n", "line 3: shots: expected different whole"),
        (HEAD + "halving: {first: 0}\ngrid:\n  epochs: [1]\n", "line 3: first: expected a whole"),
        (HEAD + "halving: 3\ngrid:\n  epochs: [1]\n", "line 3: halving: expected keys"),
        (HEAD + "search: {trials: 2}\n", "line 3: settings is empty"),
        (HEAD + "search:\n  settings: {epochs: [1]}\n", "trials: expected a whole number"),
        (HEAD + "search:\n  trials: 2\n  settings:\n    momentum: {from: 0, to: 1, scale: log}\n",
         "line 6: expected numbers, from less than to, both above 0"),
        (HEAD + "search:\n  trials: 2\n  settings:\n    batch_size: {from: 8, to: .inf}\n",
         "line 6: expected numbers, from less than to; got 8 and inf"),
        (HEAD + "search:\n  trials: 2\n  settings:\n    schedule: {from: a, to: b}\n",
         "line 6: schedule is no number"),
        (HEAD + "search:\n  trials: 1000000\n  settings:\n    learning_rate: {from: 0, to: 1}\n",
         "line 4: 3,000,000 trainings; expected at most 100,000"),
        (HEAD + "grid:\n  classes: [all, base]\n", "line 4: classes changes which classes or"),
        (HEAD + "grid:\n  validation: [few, all]\n", "line 4: validation changes which"),
        (HEAD + "search:\n  trials: 2\n  settings:\n    style: [photo, sketch]\n",
         "line 6: style changes which"),
        (HEAD + "grid:\n  text_lengths: [1, 2]\n", "line 4: text_lengths is a list of numbers"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"no\.yaml cannot be read: No such file"):
        read_sweep(tmp_path / "no.yaml")

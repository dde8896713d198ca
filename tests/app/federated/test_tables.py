"""Tables of a federation: counts, means, gains, and which federation is the one alone."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from pathlib import Path

import tyro

from app.federated import figures, tables, words
from app.federated.start_view import command_of
from app.jobs.federations import Found
from mocoop.cli.federated import FederatedCommand
from mocoop.datasets import load_dataset
from mocoop.federated.federation import RoundRecord
from mocoop.federated.partitions import Partition, Share, make_partition
from mocoop.federated.settings import FederatedConfig

CONFIG = FederatedConfig(rounds=2, clients=2)
PARTITION = Partition(
    "albums", "dirichlet", 1, (Share("a", ("1", "2"), ("5",)), Share("b", ("3", "4"), ("6",)))
)


def record(number, a, b, **more):
    return RoundRecord(number, {"a": a, "b": b}, ("a", "b"), **more)


def found(strategy, *records, **changes):
    config = replace(CONFIG, strategy=strategy, **changes)
    return Found(strategy, Path(strategy), config, PARTITION, records)


ALONE = found("local", record(0, 10.0, 20.0), record(1, 30.0, 40.0), record(2, 50.0, 40.0))
TOGETHER = found(
    "pfedmoap",
    record(0, 10.0, 20.0),
    record(1, 60.0, 30.0),
    record(2, 60.0, 20.0, foreign={"a": ("b",)}, refused={"b": "it did not answer"}),
)


def test_every_image_is_counted_at_its_owner():
    albums = load_dataset("albums")
    partition = make_partition("domain", albums, CONFIG.training(), 3)
    by_style = tables.holdings(partition, albums, by_style=True, part="train")
    assert list(by_style.columns) == list(albums.styles)
    assert (by_style > 0).sum(axis=1).tolist() == [1, 1, 1]
    by_class = tables.holdings(partition, albums, by_style=False, part="test")
    assert int(by_class.to_numpy().sum()) == len(albums.items("test"))


def test_gains_are_paired_and_of_the_last_rounds():
    table = tables.gains(TOGETHER.records, ALONE.records)
    assert table[words.CLIENT].tolist() == ["a", "b", words.MEAN]
    assert table[words.BY_ITSELF].tolist() == [40.0, 40.0, 40.0]
    assert table[words.GAIN].tolist() == [20.0, -15.0, 2.5]
    bars = figures.gain_bars(table).data[0]
    assert list(bars.text) == ["+20.0", "−15.0", "+2.5"]


def test_the_one_alone_has_the_same_clients_and_settings():
    assert tables.alone_of(TOGETHER, [TOGETHER, ALONE]) is ALONE
    others = replace(TOGETHER, config=replace(TOGETHER.config, foreign=1, own_weight=0.7))
    assert tables.alone_of(others, [ALONE]) is ALONE  # what training alone does not use
    for changes in ({"learning_rate": 0.5}, {"local_epochs": 1}, {"rounds": 3}):
        other = replace(ALONE, config=replace(ALONE.config, **changes))
        assert tables.alone_of(TOGETHER, [other]) is None
    unfinished = replace(ALONE, records=ALONE.records[:2])
    assert tables.alone_of(TOGETHER, [unfinished]) is None
    elsewhere = replace(ALONE, partition=replace(PARTITION, seed=2))
    assert tables.alone_of(TOGETHER, [elsewhere]) is None


def test_rounds_prompts_and_what_was_left_out():
    table = tables.accuracy_table(TOGETHER.records)
    assert table[words.MEAN].tolist() == [15.0, 45.0, 40.0]
    lines = figures.round_lines(table, "b").data
    assert [line.name for line in lines if line.showlegend] == ["b", words.MEAN]
    taken = tables.taken_prompts(TOGETHER.records, ["a", "b"])
    assert taken.to_numpy().tolist() == [[0, 1], [0, 0]]
    _, numbers = figures.count_map(taken, words.TAKEN_HOVER).data
    assert list(numbers.text) == ["1"]
    assert tables.left_out(TOGETHER.records).to_numpy().tolist() == [[2, "b", "it did not answer"]]


def test_the_command_trains_the_same_federation():
    changes = {"strategy": "mocoop", "beta": 0.3, "rounds": 4, "foreign": 3}
    options = shlex.split(command_of(FederatedConfig(**changes)))
    assert options[:2] == ["mocoop", "federated"]
    parsed, usual = tyro.cli(FederatedCommand, args=options[2:]), FederatedCommand()
    assert {k: v for k, v in vars(parsed).items() if v != getattr(usual, k)} == changes


def test_labels_differ_in_whatever_the_federations_differ():
    """Else the menu could not tell which of them is meant."""
    changes = [
        {}, {"rounds": 3}, {"local_epochs": 2}, {"local_epochs": 2, "beta": 0.3}, {"shots": 4},
        {"backbone": "/srv/clip"}, {"backbone": "/home/clip"}, {"delta": 1e-6}, {"seed": 2},
    ]  # fmt: skip
    configs = {str(number): replace(CONFIG, **change) for number, change in enumerate(changes)}
    labels = words.labels(configs)
    assert list(labels) == list(configs)
    assert len(set(labels.values())) == len(configs)
    assert "3 rounds" in labels["1"]
    assert "2 epochs a round · 16 images per class · β 0.3" in labels["3"]
    assert not any("/srv" in label for label in labels.values())
    assert labels["8"].endswith("seed 2")  # no other one is like it
    for name in (one.name for one in fields(FederatedConfig)):
        base = replace(CONFIG, clip=2.0 if name == "noise" else 0.0)  # which noise needs
        other = {"a": base, "b": replace(base, **{name: _another(name)})}
        assert len(set(words.labels(other).values())) == 2, name


def _another(name):
    """Returns a valid value of a setting that is not the one of `CONFIG`."""
    value = getattr(CONFIG, name)
    special = {"strategy": "local", "partition": "dirichlet", "participation": 0.5, "delta": 1e-6}
    if name in special:
        return special[name]
    return f"{value}2" if isinstance(value, str) else value + 1


def test_the_gain_says_over_which_rounds():
    assert words.gain_in_words(1.0, 1, 2, 1).endswith("After the only round.")
    assert words.gain_in_words(1.0, 1, 2, 3).endswith("Means of all 3 rounds.")
    assert words.gain_in_words(1.0, 1, 2, 9).endswith("Means of the last 5 rounds.")

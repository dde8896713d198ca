"""What a step costs whose prompts see the image: counted, and refused with what fits."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mocoop.errors import UserError, UserNote
from mocoop.model import step_cost as module
from mocoop.model.build import build_model
from mocoop.model.image_shift import Pairs
from mocoop.model.step_cost import check_step_cost, step_cost
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.prepare import prepare
from tests.support import method_cases as cases
from tests.support.tiny_data import picture_folder

THOUSAND = tuple(f"thing {number}" for number in range(1000))


def allow(monkeypatch, size):
    """Makes half of the free memory a given number of bytes."""
    monkeypatch.setattr(module, "half_of_free", lambda device: size)


def test_tokens_are_those_that_are_encoded(tiny_backbone):
    """With all experts chosen the estimate is the number of rows in the encoder's chunks."""
    config = cases.settings("mocoop-cond", num_chosen=3)
    model = build_model(config, tiny_backbone, config.groups, torch.Generator().manual_seed(1))
    tower = tiny_backbone.text
    classes = ClassTokens.from_names(tower.tokens, cases.NAMES)
    rows = 0
    pairs = Pairs.chosen(torch.zeros(4, 3), 3)
    for expert, piece in pairs.pieces():
        shift = torch.zeros(piece.stop - piece.start, tower.width)
        batch = model.prompts.pack_shifted(tower, classes, expert, shift)
        rows += sum(chunk.rows for chunk in batch.layout.chunks(10**9))
    cost = step_cost(config, tower, config.groups, cases.NAMES, 4)
    assert (cost.pairs, cost.texts, cost.tokens) == (12, 12 * len(cases.NAMES), rows)
    fewer = step_cost(replace(config, num_chosen=1), tower, config.groups, cases.NAMES, 4)
    assert fewer.pairs == 4
    assert fewer.memory < cost.memory / 2


def test_pairs_are_sorted_by_expert_in_pieces_of_few_sizes():
    scores = torch.tensor([[3.0, 1.0, 2.0], [1.0, 3.0, 2.0], [3.0, 0.0, 1.0], [3.0, 2.0, 1.0]])
    pairs = Pairs.chosen(scores, 2)
    assert pairs.counts == (3, 2, 3)
    assert pairs.experts.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert pairs.images.tolist() == [0, 2, 3, 1, 3, 0, 1, 2]
    sizes = [(expert, piece.stop - piece.start) for expert, piece in pairs.pieces()]
    assert sizes == [(0, 2), (0, 1), (1, 2), (2, 2), (2, 1)]
    one = Pairs.chosen(torch.zeros(5, 1), 1)
    assert list(one.pieces()) == [(0, slice(0, 5))]


@pytest.mark.parametrize("chosen", [1, 2, 3])
def test_all_experts_on_a_thousand_classes(tiny_backbone, monkeypatch, chosen):
    """The message counts the texts, and what it advises fits."""
    config = cases.settings("mocoop-cond", num_chosen=chosen, batch_size=128)
    parts = (tiny_backbone.text, config.groups, THOUSAND)
    cost = step_cost(config, *parts, 128)
    allow(monkeypatch, cost.memory)
    check_step_cost(config, *parts, 128)
    allow(monkeypatch, cost.memory // 4)
    more = (
        rf"{128 * chosen} x 1,000 texts .*GiB for them, and \d+ \w+ on one core of a CPU; "
        r".*Choose batch_size (\d+)"
    )
    with pytest.raises(UserError, match=more) as told:
        check_step_cost(config, *parts, 128)
    assert ("num_chosen 1" in str(told.value)) == (chosen > 1)
    size = int(str(told.value).split("batch_size ")[2].split(".")[0].split(",")[0])
    check_step_cost(config, *parts, size)
    with pytest.raises(UserError):
        check_step_cost(config, *parts, 2 * size + 2)


def test_fewer_experts_where_one_image_is_too_much(tiny_backbone, monkeypatch):
    config = cases.settings("mocoop-cond", num_chosen=3)
    parts = (tiny_backbone.text, config.groups, THOUSAND)
    allow(monkeypatch, step_cost(config, *parts, 1).memory - 1)
    with pytest.raises(UserError, match=r"Choose num_chosen 2 with batch_size 1\."):
        check_step_cost(config, *parts, 32)
    allow(monkeypatch, 10)
    with pytest.raises(UserError, match="Train on fewer classes, or on a machine with more"):
        check_step_cost(config, *parts, 32)
    check_step_cost(replace(config, conditional=False), *parts, 32)


def test_a_training_is_refused_before_anything_is_written(tiny_backbone, tmp_path, monkeypatch):
    data = picture_folder(tmp_path / "pictures")
    config = cases.settings("mocoop-cond", data=data, shots=2)
    assert prepare(config, backbone=tiny_backbone).config.conditional
    allow(monkeypatch, 1000)
    with pytest.raises(UserError, match="half of the free memory"):
        prepare(config, backbone=tiny_backbone)
    prepare(replace(config, conditional=False), backbone=tiny_backbone)


def test_the_time_of_a_token_is_that_of_the_model_of_costs():
    """The library's numbers are those that docs/cost_model.py reads from the measured steps."""
    file = Path(__file__).parents[2] / "docs" / "cost_model.py"
    spec = importlib.util.spec_from_file_location("cost_model", file)
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    for kind, name in (("cpu", "bench.json"), ("cuda", "h100.json")):
        _, slope = model.line(model.steps(name)[-2:])
        assert module.TOKEN_SECONDS[kind][0] == pytest.approx(slope, rel=0.01)


def test_the_time_grows_with_the_tokens_and_the_tower(tiny_backbone):
    """And falls with the blocks below late conditioning, which run once for an expert."""
    tower = tiny_backbone.text
    size = len(tower.transformer.resblocks) * tower.width**2 / (12 * 512**2)
    config = cases.settings("mocoop-cond", num_chosen=3, text_weight=0.0)
    cost = step_cost(config, tower, config.groups, cases.NAMES, 4)
    assert cost.seconds == pytest.approx(1.69e-3 * cost.tokens * size)
    twice = step_cost(config, tower, config.groups, cases.NAMES, 8)
    assert twice.seconds == pytest.approx(2 * cost.seconds)
    with_loss = replace(config, text_weight=1.0)
    longer = step_cost(with_loss, tower, config.groups, cases.NAMES, 4)
    assert longer.seconds == pytest.approx(1.25 * cost.seconds)  # three prompts beside twelve
    late = replace(config, context_init="words", text_depth=2)
    whole = step_cost(late, tower, config.groups, cases.NAMES, 4)
    late = replace(late, condition_from=1)
    half = step_cost(late, tower, config.groups, cases.NAMES, 4)  # one of two blocks
    assert half.seconds == pytest.approx((0.5 + 0.5 / 4) * whole.seconds)


def test_a_long_training_tells_its_time_before_it_starts(tiny_backbone, monkeypatch):
    config = cases.settings("mocoop-cond", num_chosen=3, batch_size=32)
    parts = (tiny_backbone.text, config.groups, THOUSAND)
    allow(monkeypatch, 2**60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_step_cost(config, *parts, 32, 10)  # short
    monkeypatch.setitem(module.TOKEN_SECONDS, "cpu", (1.0, "on one core of a CPU"))
    with pytest.warns(UserNote) as told:
        check_step_cost(config, *parts, 32, 10)
    (note,) = told
    assert "for each of its 3 experts, so that a step encodes 96,000 texts" in str(note.message)
    assert "on one core of a CPU in fp32, and the training's 10 steps about" in str(note.message)
    assert "With num_chosen 1 they take" in str(note.message)
    monkeypatch.setattr(module, "LONG_STEP", 1e9)
    one = cases.settings("cocoop", batch_size=1)
    with pytest.warns(UserNote, match="has prompts of its own: a step encodes 1,000") as told:
        check_step_cost(one, tiny_backbone.text, one.groups, THOUSAND, 1, 10**6)
    assert "num_chosen" not in str(told[0].message)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.03, "0.03 seconds"), (1.2, "1 second"), (90, "90 seconds"), (130, "2 minutes"),
     (1630, "27 minutes"), (3 * 3600, "3 hours"), (30 * 86_400, "30 days")],
)  # fmt: skip
def test_times_in_words(seconds, words):
    assert module._in_words(seconds) == words

"""A CLIP from a file is made without random numbers, and no weight stays unset."""

from __future__ import annotations

import open_clip
import pytest
import torch
from torch import nn

from mocoop.clip import open_model
from mocoop.clip.layouts import check_numbers
from mocoop.clip.names import Tag
from mocoop.clip.quick_model import WeightsFollow, unset_weights, usual_tokenizer
from mocoop.errors import UserError


def test_nothing_random_is_drawn_and_the_rest_is_as_usual():
    usual = open_clip.create_model("RN50", load_weights=False, pretrained_text=False)
    state = torch.get_rng_state()
    with WeightsFollow():
        quick = open_clip.create_model("RN50", load_weights=False, pretrained_text=False)
    assert torch.equal(torch.get_rng_state(), state)
    unset = unset_weights(quick)
    left, right = usual.state_dict(), quick.state_dict()
    assert {n: v.shape for n, v in left.items()} == {n: v.shape for n, v in right.items()}
    assert "token_embedding.weight" in unset
    assert "visual.conv1.weight" in unset
    # Whatever is not random, norms, counters and biases of zero, has its usual value.
    same = {name for name in left if torch.equal(left[name], right[name])}
    assert {"ln_final.weight", "visual.bn1.running_var", "logit_scale"} <= same
    buffers = dict(quick.named_buffers())
    for name, buffer in usual.named_buffers():
        assert torch.equal(buffers[name], buffer)
    quick.load_state_dict(left)
    assert unset_weights(quick) == []
    tokens = open_clip.tokenize(["a cup"])
    with torch.no_grad():
        expected = usual.eval().encode_text(tokens)
        torch.testing.assert_close(quick.eval().encode_text(tokens), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.init.xavier_uniform_(torch.ones(3, 2)),
        lambda: nn.init.trunc_normal_(torch.ones(3, 2)),
        lambda: nn.init.kaiming_uniform_(tensor=torch.ones(3, 2)),
        lambda: torch.ones(3, 2).t().normal_(),
        lambda: nn.Parameter(0.5 * torch.randn(3, 2)),
        lambda: nn.Linear(2, 3).weight,
    ],
)
def test_every_usual_start_is_marked(make):
    model = nn.Module()
    with WeightsFollow():
        model.register_parameter("weight", nn.Parameter(make()))
    assert unset_weights(model) == ["weight"]
    assert not torch.randn(3).isnan().any()  # outside, numbers are random again


def test_open_clips_own_loading_is_repeated_where_a_weight_did_not_follow(monkeypatch):
    made = []

    def half_loaded(name, pretrained, require_pretrained):
        model = nn.Linear(2, 2)
        if len(made) == 0:
            nn.init.zeros_(model.bias)  # the weight is left out
        made.append(model)
        return model

    monkeypatch.setattr(open_model, "check_available", lambda config: None)
    monkeypatch.setattr(open_clip, "create_model", half_loaded)
    opened = open_model.open_model(Tag("ViT-B-32", "openai"))
    assert len(made) == 2
    assert opened.model is made[1]
    assert unset_weights(made[1]) == []


def test_tokenizer_is_that_of_open_clip():
    texts = ["a photo of a cat (tom).", "ein Käse, 12 $", "x " * 40, ""]
    for length in (12, 77):
        own = open_clip.SimpleTokenizer(context_length=length)
        quick = usual_tokenizer(length)
        assert torch.equal(own(texts), quick(texts))
        assert quick.context_length == length
    assert open_clip.tokenize(["a cup"]).shape == (1, 77)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_none_are_found(bad):
    value = torch.ones(5, 7)
    check_numbers("weight", value)
    value[3, 2] = bad
    with pytest.raises(UserError, match="weight holds values that are no numbers"):
        check_numbers("weight", value)
    value[0, 0] = -bad
    with pytest.raises(UserError, match="weight holds values that are no numbers"):
        check_numbers("weight", value)


def test_a_sum_beyond_the_largest_number_is_no_damage():
    check_numbers("weight", torch.full((4,), 3e38))
    check_numbers("weight", torch.full((100,), 60000.0, dtype=torch.float16))

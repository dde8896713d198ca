"""The check of a file's activation: the demo CLIP's weights, which are for plain GELU."""

from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from mocoop.assets import asset
from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.evaluation import activation
from mocoop.evaluation.activation import (
    ActivationCheck,
    Measured,
    check_activation,
    class_means,
    single_things,
    split_name,
)
from tests.support.tiny import tiny_clip

NAME = "Small-Test"


@pytest.fixture(scope="module")
def architecture():
    """The demo CLIP's architecture under a name of open_clip's, without a twin."""
    config = json.loads((demo_folder() / "open_clip_config.json").read_text())["model_cfg"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, config)
        yield config


@pytest.fixture(scope="module")
def twin(architecture):
    """The same with a twin."""
    config = architecture | {"quick_gelu": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(open_clip.factory._MODEL_CONFIGS, f"{NAME}-quickgelu", config)
        yield


@pytest.fixture(scope="module")
def measured(twin):
    """What is measured, and the steps that were told meanwhile."""
    seen = []
    progress = lambda *part: seen.append(part)
    return check_activation(NAME, weights(), "cpu", progress), seen


def demo_folder():
    return asset("demo-clip")


def weights():
    return demo_folder() / "open_clip_model.safetensors"


@pytest.mark.long
def test_weights_for_gelu_are_told(measured):
    """They classify better with it, by twice the margin, and every picture is counted."""
    found, seen = measured
    assert (found.pictures, found.classes) == (1971, 219)
    assert seen[-1] == (3942, 3942)
    assert found.gelu.cross_entropy < found.quick_gelu.cross_entropy - 2 * found.margin
    assert found.gelu.accuracy > found.quick_gelu.accuracy
    assert found.better == "GELU"


@pytest.mark.long
def test_untrained_weights_tell_nothing(twin, tmp_path):
    """Guesses are equally good with both."""
    shuffled = {name: value.flip(0) for name, value in load_file(weights()).items()}
    save_file({k: v.contiguous() for k, v in shuffled.items()}, tmp_path / "x.safetensors")
    found = check_activation(NAME, tmp_path / "x.safetensors", "cpu", None, single_things(2))
    assert found.better == ""


def made_up(gelu, quick, margin):
    """Returns a check with these cross-entropies."""
    return ActivationCheck(NAME, Measured(50.0, gelu), Measured(50.5, quick), 550, 25, margin)


@pytest.mark.parametrize(
    ("gelu", "quick", "better"),
    [(1.0, 1.31, "GELU"), (1.0, 1.29, ""), (1.29, 1.0, ""), (1.31, 1.0, "QuickGELU")],
)
def test_the_margin_by_hand(gelu, quick, better):
    """A lower cross-entropy is better, if it is lower by more than the margin."""
    assert made_up(gelu, quick, 0.3).better == better


@pytest.mark.long
def test_the_standard_error_is_that_of_classes(twin, monkeypatch):
    """Every second class is better by 2, the others by 0, whatever single pictures are."""
    pictures = single_things(2)
    plain = torch.tensor([3.0 if label % 2 else 1.0 for label in pictures.labels]).double()
    quick = torch.ones(len(plain)).double()
    change = [2.0 if label % 2 else 0.0 for label in range(219)]
    parts = iter([(plain, plain > 2), (quick, quick > 0)])
    monkeypatch.setattr(activation, "_measure", lambda *args: next(parts))
    found = check_activation(NAME, weights(), "cpu", None, pictures)
    assert found.quick_gelu == Measured(100.0, 1.0)
    assert found.gain == pytest.approx(np.mean(change))
    assert found.margin == pytest.approx(3 * np.std(change, ddof=1) / np.sqrt(219))


def test_class_means_by_hand():
    values = torch.tensor([1.0, 5.0, 3.0, 2.0])
    assert class_means(values, torch.tensor([0, 1, 0, 2])).tolist() == [2.0, 5.0, 2.0]


@pytest.mark.long
def test_the_command_says_how_to_load(measured, monkeypatch, capsys):
    monkeypatch.setattr(activation, "check_activation", lambda *args: measured[0])
    assert main(["backbone", "check", str(weights()), "--name", f"{NAME}-quickgelu"]) == 0
    out = capsys.readouterr().out
    assert "1971 drawings of 219 things" in out
    assert "looks like GELU: " in out
    assert "margin: " in out
    assert out.endswith(f"load it with: --backbone {NAME}/{weights()}\n")
    assert main(["backbone", "check", f"{NAME}/{weights()}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["backbone"]) == ("GELU", f"{NAME}/{weights()}")


@pytest.mark.long
def test_the_command_where_nothing_can_be_told(twin, monkeypatch, capsys):
    even = made_up(1.25, 1.2, 0.0625)
    monkeypatch.setattr(activation, "check_activation", lambda *args: even)
    assert main(["backbone", "check", f"{NAME}/{weights()}"]) == 0
    out = capsys.readouterr().out
    assert "can't tell: the cross-entropies differ by 0.0500 only (margin: 0.0625" in out
    assert f"with GELU: --backbone {NAME}/{weights()}\n" in out
    assert f"with QuickGELU: --backbone {NAME}-quickgelu/{weights()}\n" in out
    assert main(["backbone", "check", f"{NAME}/{weights()}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["backbone"]) == ("can't tell", None)


def test_an_architecture_without_a_twin(architecture, monkeypatch, capsys):
    monkeypatch.delitem(open_clip.factory._MODEL_CONFIGS, f"{NAME}-quickgelu", raising=False)
    assert main(["backbone", "check", str(weights()), "--name", NAME]) == 0
    out = capsys.readouterr().out
    assert "with one activation only" in out
    assert f"--backbone {NAME}/{weights()}" in out


@pytest.mark.long
def test_mistakes_are_told(twin, tmp_path, capsys):
    """Exit code 2, in words: no name, no such file, another architecture's weights."""
    other = tmp_path / "tiny.safetensors"
    save_file({k: v.contiguous() for k, v in tiny_clip().state_dict().items()}, other)
    for arguments, words in (
        ([str(other)], "or give ARCHITECTURE/FILE"),
        ([str(tmp_path / "no.safetensors"), "--name", NAME], "No such weights file"),
        ([str(other), "--name", "ViT-B-61"], "Unknown backbone"),
        ([str(other), "--name", NAME], "does not fit Small-Test"),
        (["ViT-B-32"], "needs weights after a slash"),
    ):
        assert main(["backbone", "check", *arguments]) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(
        UserError, match=r"Expected a file of weights.*got 'ViT-B-32-quickgelu/openai'"
    ):
        split_name("ViT-B-32-quickgelu/openai", "")

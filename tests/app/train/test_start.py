"""A training that starts from a typed sentence: its settings, and its prompt before training."""

from __future__ import annotations

import pytest
import torch

from app.train.settings import with_backbone, with_start
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.presets import preset
from tests.support.app_fixtures import train
from tests.support.tiny_data import tiny_checkpoint

SENTENCE = "a sketch of a {}."


@pytest.fixture(scope="module")
def templates():
    return load_dataset("details").templates


def test_one_prompt_starts_from_the_sentence(templates):
    config = with_start(preset("coop"), f"  {SENTENCE}\n", templates)
    assert config.groups == {"prompt": (SENTENCE,)}
    assert config.context_init == "template"


def test_other_templates_stay_in_the_text_loss(templates):
    config = with_start(preset("lasp"), "a {} of clay.", templates)
    first, *others = config.groups["prompt"]
    assert first == "a {} of clay."
    assert set(others) >= {group[0] for group in templates.groups.values()}
    again = with_start(config, SENTENCE, templates)
    assert "a {} of clay." not in again.groups["prompt"]
    assert again.groups["prompt"].count(SENTENCE) == 1


def test_lasp_of_other_clips_starts_from_words(templates):
    published = preset("lasp", "ViT-B-16-quickgelu/openai")
    config = with_start(published, SENTENCE, templates)
    assert (config.context_init, config.context_words) == ("words", "a sketch of a")
    assert config.groups is None
    with pytest.raises(UserError, match="at the end of the sentence"):
        with_start(published, "a {} of clay.", templates)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("no slot", "no place for the class name"),
        ("a {} and a {}", "2 times"),
        ("{}", "nothing to learn"),
    ],
)
def test_bad_sentences_are_refused(templates, sentence, words):
    with pytest.raises(UserError, match=words):
        with_start(preset("coop"), sentence, templates)


def test_the_prompt_before_training_is_the_sentence(workspace, tmp_path, templates, demo_backbone):
    groups = with_start(preset("coop"), SENTENCE, templates).groups
    run = train("coop", tmp_path / "run", shots=1, epochs=1, groups=groups)
    typed = demo_backbone.text.encode_template(SENTENCE, run.setup().class_names)
    torch.testing.assert_close(run.features().soft[0][0], typed.cpu(), atol=1e-4, rtol=1e-4)


def test_a_clip_in_a_folder_here_is_found_by_the_training_too(monkeypatch, tmp_path):
    """The training's process runs in another folder."""
    tiny_checkpoint(tmp_path / "clip")
    monkeypatch.chdir(tmp_path)
    assert with_backbone(preset("coop"), "clip").backbone == str(tmp_path / "clip")
    assert with_backbone(preset("coop"), "demo").backbone == "demo"

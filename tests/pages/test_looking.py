"""Routing: where the image tower looks, and which part of a picture an answer needs."""

from __future__ import annotations

import dataclasses
import re
import shutil

import pytest
import torch

from app.caches import data as data_caches
from app.common import state
from app.routing import cached_looking, looking_view
from app.routing import looking_words as words
from mocoop.analysis.attention import TowerAttention
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support.app_fixtures import train
from tests.support.page_fixtures import open_page
from tests.support.tiny_data import picture_folder, tiny_checkpoint

PAGE, IMAGE, TRY = "pages/routing.py", "test/bird/photo/0", "Try a picture"
LOOKS, COVERS = {state.LOOKS: "true"}, {state.COVERS: "true"}


def texts(app):
    every = [*app.markdown, *app.caption, *app.info, *app.error]
    return " ".join(str(element.value) for element in every)


def said_by(app):
    """Returns the experts beside the map of two experts, in order."""
    every = [element.proto.body for element in app.get("html")]
    line = next(html for html in every if html.startswith("<div") and html.count("</div>") == 1
                and html.count("border-radius:50%") == 2)  # fmt: skip
    return re.findall(r"</span>([\w -]+) \d+%", line)


def charts(app):
    return len(app.get("plotly_chart"))


def test_nothing_is_computed_before_a_part_is_opened(one_run, monkeypatch):
    def refuse(*_):
        raise AssertionError("computed too early")

    monkeypatch.setattr(cached_looking, "attention_of", refuse)
    monkeypatch.setattr(cached_looking, "occlusion_of", refuse)
    for query in ({"image": IMAGE}, {"view": TRY}):
        app = open_page(PAGE, run=one_run.name, **query)
        assert not app.exception
        assert {words.WHERE, words.MATTERS} <= {part.label for part in app.expander}


@pytest.mark.parametrize("query", [{"image": IMAGE}, {"view": TRY}])
def test_attention_of_a_block_and_of_all_blocks(one_run, query):
    app = open_page(PAGE, run=one_run.name, **query, **LOOKS)
    assert not app.exception
    assert "of this attention is on the picture" in texts(app)
    assert "learned token" not in texts(app)
    slider = next(s for s in app.slider if s.label == words.WHICH_BLOCK)
    assert slider.value == slider.max == 6
    slider.set_value(1).run()
    first = texts(app)
    assert not app.exception
    app.button_group(key=state.LOOKS_BY).set_value(words.ROLLOUT).run()
    assert not app.exception
    assert words.WHICH_BLOCK not in [s.label for s in app.slider]
    assert texts(app) != first


@pytest.mark.long
@pytest.mark.parametrize("query", [{"image": IMAGE}, {"view": TRY}])
def test_two_experts_and_the_answer(one_run, query):
    app = open_page(PAGE, run=one_run.name, **query, **COVERS)
    assert not app.exception
    assert "The prediction is **" in texts(app)
    assert "makes them differ most" in texts(app)
    first = app.selectbox(key=state.COVERS_FIRST)
    assert first.value is None
    assert first.placeholder.endswith("(chosen by the router)")
    count = charts(app)
    first.set_value("sketch").run()
    app.selectbox(key=state.COVERS_SECOND).set_value("sketch").run()
    assert words.SAME_EXPERT in texts(app)
    assert charts(app) == count - 1
    app.selectbox(key=state.COVERS_SECOND).set_value("dark").run()
    assert not app.exception
    assert said_by(app) == ["sketch", "dark"]
    app.button_group(key=state.COVERS_SHOW).set_value(words.ANSWER).run()
    assert not app.exception
    assert "Blue places speak for" in texts(app)
    app.button_group(key=state.COVERS_SIZE).set_value("large").run()
    assert not app.exception


def test_a_link_restores_both_parts(one_run):
    chosen = {
        state.COVERS_FIRST: "photo",
        state.COVERS_SIZE: "small",
        state.LOOKS_BY: "all blocks",
    }
    app = open_page(PAGE, run=one_run.name, image=IMAGE, **LOOKS, **COVERS, **chosen)
    assert not app.exception
    assert app.selectbox(key=state.COVERS_FIRST).value == "photo"
    assert said_by(app)[0] == "photo"
    assert words.WHICH_BLOCK not in [slider.label for slider in app.slider]


@pytest.mark.long
def test_one_prompt_with_learned_tokens_in_the_image_tower(empty_runs):
    """Its tokens can be chosen; there are no two experts, so the answer's map is shown."""
    run = train("vpt", empty_runs / "seen", shots=1, epochs=1, vision_depth=2)
    app = open_page(PAGE, run=run.name, image=IMAGE, **LOOKS, **COVERS)
    assert not app.exception
    assert "on learned tokens" in texts(app)
    assert words.PASSED_ON in texts(app)
    who = app.selectbox(key=state.LOOKS_WHO)
    assert who.options[:3] == [words.CLS, words.ALL_LEARNED, words.token(1)]
    who.set_value(words.ALL_LEARNED).run()
    assert not app.exception
    app.selectbox(key=state.LOOKS_WHO).set_value(words.token(1)).run()
    assert not app.exception
    assert "Blue places speak for" in texts(app)
    assert state.COVERS_FIRST not in [box.key for box in app.selectbox]


def test_another_tower_has_a_sentence_instead(one_run, monkeypatch):
    def refuse(run, image):
        raise UserError("This CLIP's image tower (ModifiedResNet) has no blocks.")

    monkeypatch.setattr(cached_looking, "attention_of", refuse)
    app = open_page(PAGE, run=one_run.name, image=IMAGE, **LOOKS, **COVERS)
    assert not app.exception
    assert "(ModifiedResNet) has no blocks. The part below works for every" in texts(app)
    assert "makes them differ most" in texts(app)


@pytest.mark.long
def test_results_are_kept_until_something_changes(one_run, monkeypatch):
    data = data_caches.dataset("details")
    image, other = (data.image(item) for item in data.items("test")[:2])
    first = cached_looking.attention_of(one_run, image)
    assert cached_looking.attention_of(one_run, image) is first
    assert cached_looking.attention_of(one_run, other) is not first
    covered = cached_looking.occlusion_of(one_run, image, 0.25, range(16))
    assert cached_looking.occlusion_of(one_run, image, 0.25, range(16)) is covered
    assert cached_looking.occlusion_of(one_run, image, 0.5, range(16)) is not covered
    fewer = cached_looking.occlusion_of(one_run, image, 0.25, range(4, 8))
    assert len(fewer.plain.class_names) == 4
    copy = Run(shutil.copytree(one_run.path, one_run.path.parent / "copy"))
    assert cached_looking.attention_of(copy, image) is not first
    monkeypatch.setattr(data_caches, "data_stamp", lambda name, root=None: "changed")
    assert cached_looking.attention_of(one_run, image) is not first
    assert cached_looking.occlusion_of(one_run, image, 0.25, range(16)) is not covered


def test_places_in_words():
    nine = [words.place(row, column, 8, 8) for row in (0, 4, 7) for column in (0, 3, 7)]
    assert nine[:3] == ["top left", "top middle", "top right"]
    assert nine[3:6] == ["middle left", "middle", "middle right"]
    assert nine[6:] == ["bottom left", "bottom middle", "bottom right"]
    assert words.place(0, 0, 1, 1) == "top left"
    falls = torch.tensor([[0.1, -0.5], [0.2, 0.0]]).numpy()
    where, change = looking_view.most_changed(falls)
    assert (where, round(change, 3)) == ("top middle", -0.5)


def test_keys_have_nothing_to_choose():
    """Learned tokens that are only keys are looked at; the page says so."""
    weights = torch.full((1, 5, 7), 1 / 7)
    found = TowerAttention((weights,), (2, 2), reads_cls=True, depth=1)
    assert not found.of_learned(0).numel()
    assert float(found.shares(found.of_reader(0))[2][0]) == pytest.approx(2 / 7)


@pytest.mark.parametrize(("block", "said"), [(1, False), (3, True)])
def test_keys_are_told_of_in_the_blocks_that_have_some(one_run, monkeypatch, block, said):
    """Here only the last of three blocks has learned tokens, which are keys and values."""
    rows, keys = torch.full((1, 17, 17), 1 / 17), torch.full((1, 17, 19), 1 / 19)
    late = TowerAttention((rows, rows, keys), (4, 4), True, 0, 1)
    monkeypatch.setattr(cached_looking, "attention_of", lambda *_: late)
    app = open_page(PAGE, run=one_run.name, view=TRY, **LOOKS)
    next(s for s in app.slider if s.label == words.WHICH_BLOCK).set_value(block).run()
    assert not app.exception
    assert (words.KEYS_ONLY in texts(app)) == said


def test_the_tower_of_each_expert(empty_runs, tmp_path):
    """Where each has tokens of its own in the last block, an expert is chosen; a link keeps it."""
    data, clip = picture_folder(tmp_path / "pictures"), tiny_checkpoint(tmp_path / "clip")
    own = {"vision_depth": 0, "expert_vision_depth": 1, "shots": 2, "epochs": 1}
    config = dataclasses.replace(preset("mocoop-v"), data=data, backbone=clip, **own)
    for _ in run_experiment(config, empty_runs / "own"):
        pass
    experts = list(Run(empty_runs / "own").setup().groups)
    app = open_page(PAGE, run="own", view=TRY, **LOOKS)
    assert not app.exception
    box = app.selectbox(key=state.LOOKS_FOR)
    assert (box.options, box.value) == (experts, experts[0])
    first = texts(app)
    box.set_value(experts[1]).run()
    assert not app.exception
    assert texts(app) != first
    app = open_page(PAGE, run="own", view=TRY, **LOOKS, **{state.LOOKS_FOR: experts[1]})
    assert app.selectbox(key=state.LOOKS_FOR).value == experts[1]

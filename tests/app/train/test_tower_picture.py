"""The drawing of the two towers: blue is exactly what the model learns, for every method."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from app.common.theme import TRAIN
from app.train import tower_words as words
from app.train.tower_parts import LearnedParts, learned_parts
from app.train.tower_picture import towers_svg
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import expert_groups
from mocoop.presets import preset
from mocoop.templates import load_templates

GROUPS = {"photo": ("a photo of a {}.",), "art": ("art of a {}.",), "dark": ("a dark {}.",)}
PROMPTS = [key for key, method in METHODS.items() if method.learns_prompts]
OTHERS = [key for key in METHODS if key not in PROMPTS]


def parts_of(key, **changes):
    experts = len(GROUPS) if METHODS[key].is_mixture else 1
    return learned_parts(replace(preset(key), **changes), experts)


def drawn(parts, depths=(3, 6)):
    """Returns the drawing's root and the labels on blue ground."""
    root = ElementTree.fromstring(towers_svg(parts, depths))
    return root, [text.text for text in root.iter("text") if text.get("fill") == "#ffffff"]


@pytest.mark.parametrize("key", PROMPTS)
def test_blue_parts_are_the_parameters_that_a_training_changes(key, demo_backbone, generator):
    config = replace(preset(key), precision="fp32")
    groups = GROUPS if METHODS[key].is_mixture else {"photo": GROUPS["photo"]}
    model = build_model(config, demo_backbone, groups, generator)
    names = [name for name, value in model.named_parameters() if value.requires_grad]
    learned = lambda start: any(name.startswith(start) for name in names)
    parts = learned_parts(config, len(groups))
    assert parts.context == learned("prompts.before")
    assert parts.after == learned("prompts.after")
    assert (parts.text_depth > 1) == learned("prompts.deep")
    assert bool(parts.text_keys) == learned("prompts.keys")
    assert parts.correction == learned("correction")
    assert bool(parts.image_depth) == learned("vision.")
    assert parts.coupling == learned("vision.coupling")
    assert parts.layer_norms == learned("norms.")
    assert parts.low_rank == learned("lora.")
    assert parts.router == learned("gate.")
    assert parts.meta_net == learned("shift.")
    assert (parts.text_side, parts.image_side) == ("", "")


@pytest.mark.parametrize("key", OTHERS)
def test_other_methods_learn_beside_the_towers_or_nothing(key):
    parts = parts_of(key)
    beside = [label for label in (parts.text_side, parts.image_side) if label]
    assert bool(beside) == (METHODS[key].learns != "nothing")
    assert parts == LearnedParts(
        text_side=parts.text_side, image_side=parts.image_side, uses_text=parts.uses_text
    )
    assert drawn(parts)[1] == beside
    assert (TRAIN in towers_svg(parts)) == bool(beside)
    if not beside:
        assert parts.in_words() == words.NOTHING


@pytest.mark.parametrize("key", METHODS)
@pytest.mark.parametrize("depths", [(3, 6), (12, 12), (None, None)])
def test_every_drawing_is_whole_and_says_what_it_shows(key, depths):
    parts = parts_of(key)
    root, _ = drawn(parts, depths)
    assert root.get("role") == "img"
    assert root.get("aria-label") == parts.in_words()
    for box in root.iter("rect"):
        left, top, width, height = (float(box.get(n)) for n in ("x", "y", "width", "height"))
        assert min(left, top, width, height) >= 0
        assert left + width <= 400
        assert top + height <= 254


def test_sentences():
    assert parts_of("coop").in_words() == (
        "Learned, in blue: the tokens before the class name. All else stays as CLIP has it."
    )
    assert parts_of("vpt", vision_depth=1, vision_prompts=1).in_words() == (
        "Learned, in blue: 1 token in block 1 of the image tower. All else stays as CLIP has it."
    )
    coupled = parts_of("maple", text_depth=2, vision_depth=2).in_words()
    assert (
        "the first 2 tokens before the class name, tokens in block 2 of the text tower" in coupled
    )
    assert "layers that compute 2 tokens in each of blocks 1 to 2 of the image tower" in coupled
    assert "low-rank changes of the attention in every block" in parts_of("clip-lora").in_words()
    late = parts_of("mocoop-v", expert_vision_depth=2)
    assert "4 tokens of each expert in the last 2 blocks of the image tower" in late.in_words()
    rows = [box for box in drawn(late)[0].iter("rect") if box.get("height") == "7"]
    assert len({box.get("y") for box in rows if float(box.get("x")) > 200}) == 3
    assert "of every class" in parts_of("coop", class_context=True).in_words()
    assert "of every expert" in parts_of("mocoop").in_words()
    assert "The text tower is not used." in parts_of("linear-probe").in_words()


def test_labels_name_the_blocks_that_are_there():
    def labels(depths, **changes):
        root, _ = drawn(parts_of("ivlp", **changes), depths)
        return [text.text for text in root.iter("text") if "block" in text.text]

    assert labels((3, 6), text_depth=3, vision_depth=2) == [
        "blocks 1–3",
        "blocks 3–6",
        "blocks 1–2",
    ]
    assert labels((3, 6), text_depth=1, vision_depth=5) == ["blocks 1–3", "block 6", "blocks 1–5"]
    changed = [text.text for text in drawn(parts_of("clip-lora"))[0].iter("text")]
    assert changed.count(words.LOW_RANK_LABEL) == 2
    unknown = labels((None, None), text_depth=1, vision_depth=2)
    assert unknown == ["all blocks", "later blocks", "blocks 1–2"]


def test_numbers_of_tokens_of_every_block():
    """Up to the last block with any, as they are given, or as a search may choose them."""
    searched = parts_of("dpl")
    said = searched.in_words()
    assert "0 to 4 tokens in each of blocks 1 to 3 of the text tower, as a search chooses" in said
    assert "0 to 4 tokens in each of blocks 1 to 6 of the image tower" in said
    given = parts_of(
        "dpl", vision_lengths=(0, 2, 0, 5, 0, 0), text_lengths=(0, 0, 0), length_epochs=0
    )
    assert (given.image_keys, given.text_keys) == ((0, 2, 0, 5), ())
    assert given.in_words() == (
        "Learned, in blue: tokens to which all others attend in each of blocks 1 to 4 of the "
        "image tower (0, 2, 0, 5). All else stays as CLIP has it."
    )
    labels = lambda parts: [text.text for text in drawn(parts)[0].iter("text")]
    assert {"blocks 1–4", "blocks 5–6", "0·2·0·5", "blocks 1–3"} <= set(labels(given))
    assert labels(searched).count("0–4 tokens") == 2


def test_a_router_and_a_meta_net_together():
    """Each has a box of its own, whatever else is learned."""
    both = LearnedParts(context=True, several=True, router=True, meta_net=True, correction=True)
    assert set(drawn(both)[1]) == {words.ROUTER_LABEL, words.META_NET_LABEL, words.VECTOR}


def test_groups_of_a_data_set_are_the_experts():
    config = preset("mocoop")
    assert learned_parts(config, len(expert_groups(config, load_templates("imagenet")))).several
    assert not learned_parts(config, 1).router

"""The seam between class name and template: tokens are those of the whole sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import yaml
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

from mocoop.assets import asset
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import hard_features
from mocoop.model.image_shift import Pairs
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens, filled_tokens
from mocoop.templates import SLOT, as_groups, fill
from tests.support.soft_prompts import encode_texts, relative_error

NAMES = (
    "cat",
    "crane (bird)",
    "St. Bernard dog",
    "mini van etc.",
    "the owner's",
    "cats'",
    "rock & roll",
    "salt &",
    "Boeing 747-400",
    "F/A-18",
    "Volkswagen Golf Hatchback 1991",
    "what?!",
    '"quoted"',
    "(in brackets)",
    "'n sync",
    "crème brûlée",
    "50%",
    "C++",
    "black_bishop",
    "sea  lion",
    "jack-o'-lantern",
)
JOINED = ("crane (bird)", "mini van etc.", "cats'", "salt &", "what?!", '"quoted"', "50%", "C++")


def every_template():
    """Returns all templates of the shipped file, and some of other punctuation."""
    sets = yaml.safe_load(asset("templates.yaml").read_text(encoding="utf-8")).values()
    groups = [t for one in sets for part in as_groups(one["groups"]).values() for t in part]
    own = ["{}", "a photo of a {}", "a {}!", "“{}”, a photo", "({})", "a {}'s portrait"]
    return list(dict.fromkeys([*(one["zero_shot"] for one in sets), *groups, *own]))


@pytest.fixture
def tower(tiny_backbone):
    return tiny_backbone.text


@pytest.mark.parametrize("template", every_template())
def test_hard_prompts_are_open_clips_tokens(tower, tokenizer, template):
    expected = tokenizer([fill(template, name) for name in NAMES], context_length=77)
    assert torch.equal(filled_tokens(tower.tokens, template, NAMES), expected)


def plain_templates():
    """Returns the template that each data set starts from, each once."""
    sets = yaml.safe_load(asset("templates.yaml").read_text(encoding="utf-8")).values()
    return list(dict.fromkeys(one["zero_shot"] for one in sets))


@pytest.mark.parametrize("template", plain_templates())
def test_hard_prompts_of_all_imagenet_names(tower, tokenizer, template):
    """Among them are six that end in a bracket."""
    assert sum(name.endswith(")") for name in IMAGENET_CLASSNAMES) == 6
    texts = [fill(template, name) for name in IMAGENET_CLASSNAMES]
    found = filled_tokens(tower.tokens, template, IMAGENET_CLASSNAMES)
    assert torch.equal(found, tokenizer(texts, context_length=77))


def model_of(backbone, generator, groups, **changes):
    """Returns an untrained model with these groups."""
    config = replace(preset("coop"), groups=as_groups(groups), **changes)
    return build_model(config, backbone, config.groups, generator, len(NAMES))


def rows_of(model, tower):
    """Returns the embeddings (tokens, width) of every prompt, by expert, then class."""
    packed = model.prompts.pack(tower, ClassTokens.from_names(tower.tokens, NAMES))
    return [packed.table[torch.as_tensor(rows)] for rows in packed.layout.prompts]


def sentences(tower, templates):
    """Returns the embeddings of the whole sentences, by template, then class."""
    found = []
    for template in templates:
        for name in NAMES:
            ids = tower.tokens.encode(fill(template, name))
            found.append(tower.tokens.embed([tower.tokens.start, *ids, tower.tokens.end]))
    return found


SPACED = [t for t in every_template() if t.split(SLOT)[0][-1:] in ("", " ")]


@pytest.mark.parametrize("template", SPACED)
def test_frozen_words_are_tokenised_with_the_name(tiny_backbone, tower, generator, template):
    """A single prompt that has learnt nothing yet is, token for token, the whole sentence."""
    model = model_of(tiny_backbone, generator, {"prompt": [template]}, correction=True)
    for got, expected in zip(rows_of(model, tower), sentences(tower, [template]), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("context", ["words", "class_context"])
def test_the_full_stop_of_words(tiny_backbone, tower, generator, context):
    """The published start, shared or of each class's own: the name is read with its stop."""
    model = model_of(
        tiny_backbone, generator, {"prompt": ["{} texture."]}, context_init="words",
        class_context=context == "class_context",
    )  # fmt: skip
    expected = sentences(tower, ["a photo of a {}."])
    for got, whole in zip(rows_of(model, tower), expected, strict=True):
        assert torch.equal(got, whole)


def test_several_experts_have_endings_of_their_own(tiny_backbone, tower, generator):
    templates = ["a photo of a {}.", "{} texture.", "art of a {}, on a wall"]
    groups = {template: [template] for template in templates}
    model = model_of(tiny_backbone, generator, groups)
    for got, expected in zip(rows_of(model, tower), sentences(tower, templates), strict=True):
        assert torch.equal(got, expected)


def test_learnt_tokens_stand_apart(tiny_backbone, tower, generator):
    """Where tokens learn right of the name, it is tokenised alone, whatever it ends in."""
    model = model_of(tiny_backbone, generator, {"g": ["a photo of a {}."]}, learn_after=True)
    for name, got in zip(NAMES, rows_of(model, tower), strict=True):
        parts = ("a photo of a", fill(SLOT, name), ".")
        ids = [token for part in parts for token in tower.tokens.encode(part)]
        assert torch.equal(got, tower.tokens.embed([tower.tokens.start, *ids, tower.tokens.end]))


def test_which_names_are_one_piece_with_what_follows(tower):
    classes = ClassTokens.from_names(tower.tokens, NAMES)
    assert {NAMES[label] for label in classes.joined(".")} == {*JOINED, "(in brackets)"}
    assert classes.joined(" texture.") == {}
    assert classes.joined("") == {}
    first = classes.first(2).joined(".")
    assert list(first) == [1]
    assert first[1] == tower.tokens.encode("crane (bird).")


@pytest.mark.parametrize("conditional", [False, True])
def test_untrained_features_are_those_of_the_sentences(
    tiny_backbone, tower, generator, conditional
):
    """By the shared-prefix encoder and by the plain one; gradients reach the context."""
    template = "a photo of a {}."
    model = model_of(tiny_backbone, generator, {"p": [template]}, conditional=conditional)
    classes = ClassTokens.from_names(tower.tokens, NAMES)
    soft = model.text_features(tower, classes)[0]
    expected = encode_texts(tower, [fill(template, name) for name in NAMES])
    assert relative_error(soft.detach(), expected) < 1e-5
    (hard,) = hard_features(tower, {"p": (template,)}, NAMES)
    assert relative_error(hard[0], expected) < 1e-6
    plain = tower.encode_prompts_plain(model.prompts.pack(tower, classes))[0]
    plain = torch.nn.functional.normalize(plain, dim=-1)
    assert relative_error(plain.detach(), expected) < 1e-5
    fast, slow = (
        torch.autograd.grad(features[:, 0].sum(), model.prompts.before[0])[0]
        for features in (soft, plain)
    )
    assert relative_error(fast, slow) < 1e-4


def test_an_image_shifts_the_same_tokens(tiny_backbone, tower, generator):
    """With a conditional context each image's prompts are tokenised in the same way."""
    model = model_of(tiny_backbone, generator, {"p": ["a photo of a {}."]}, conditional=True)
    images = torch.randn(3, tower.dim, generator=generator)
    classes = ClassTokens.from_names(tower.tokens, NAMES)
    packed = model.prompts.pack_shifted(tower, classes, 0, torch.zeros(3, tower.width))
    lengths = [len(rows) for rows in packed.layout.prompts]
    assert lengths == 3 * [len(rows) for rows in sentences(tower, ["a photo of a {}."])]
    pairs = Pairs.chosen(torch.zeros(3, 1), 1)
    features = model.pair_features(tower, classes, images, pairs)
    assert features.shape == (3, len(NAMES), tower.dim)

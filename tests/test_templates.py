"""Templates and their groups: checks, messages, and the shipped sets."""

from __future__ import annotations

import pytest

from mocoop.errors import UserError
from mocoop.prompt_encoder.layout import soft_tokens
from mocoop.templates import (
    TemplateSet,
    as_groups,
    check_groups,
    check_template,
    fill,
    load_templates,
)
from mocoop.world.captions import scene_templates


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a photo", r"needs {} exactly once.*'a photo' has it 0 times\. Write it like"),
        ("", r"'' has it 0 times"),
        ("a {} of a {}.", r"has it 2 times"),
        ("a photo of a{}.", r"has a letter or digit next to {}.*Put a space"),
        ("two {}s.", r"has a letter or digit next to {}"),
        ("a {}2.", r"has a letter or digit next to {}"),
    ],
)
def test_templates_that_are_refused(template, message):
    """The class name goes in once, and stands by itself."""
    with pytest.raises(UserError, match=message):
        check_template(template)
    with pytest.raises(UserError, match=message):
        TemplateSet({"one": ("a {}.",)}, template)
    with pytest.raises(UserError, match=message):
        check_groups({"one": ("a {}.", template)})


@pytest.mark.parametrize("template", ["{}", "a {}", "{}.", "a '{}', seen from afar", "the ({})!"])
def test_templates_that_are_good(template, tiny_backbone):
    """What passes the check also splits into whole tokens."""
    check_template(template)
    before, after = soft_tokens(tiny_backbone.text.tokens, template)
    left, right = template.split("{}")
    assert (len(before) > 0, len(after) > 0) == (bool(left.strip()), bool(right.strip()))


def test_groups_are_checked():
    """There is a group, and a template in each."""
    with pytest.raises(UserError, match=r"Expected at least one group of templates, got none"):
        check_groups({})
    with pytest.raises(UserError, match=r"Group 'art' has no template.*Add one or remove"):
        check_groups({"photo": ("a {}.",), "art": ()})
    with pytest.raises(UserError, match=r"Expected at least one group"):
        TemplateSet({}, "a {}.")


def test_as_groups_makes_tuples_in_order():
    """Lists and single strings become tuples, in the order given."""
    groups = as_groups({"b": ["a {}.", "the {}."], "a": "art of a {}."})
    assert groups == {"b": ("a {}.", "the {}."), "a": ("art of a {}.",)}
    assert list(groups) == ["b", "a"]
    with pytest.raises(UserError, match="has it 0 times"):
        as_groups({"a": "photo"})


def test_fill():
    """The class name goes into the slot, underscores as spaces."""
    assert fill("a photo of a {}.", "cat") == "a photo of a cat."
    assert fill("{} here", "black_bishop") == "black bishop here"
    assert fill("a photo of a {}.", " sea  lion_") == "a photo of a sea lion."


@pytest.mark.parametrize(
    "templates", [load_templates("photos"), scene_templates()], ids=["photos", "scenes"]
)
def test_shipped_sets(templates, tiny_backbone):
    """Every shipped template is good, and can start an expert."""
    assert len(templates.groups) >= 2
    every = [t for group in templates.groups.values() for t in group]
    assert len(set(every)) == len(every)
    for template in [templates.zero_shot, *every]:
        soft_tokens(tiny_backbone.text.tokens, template)


def test_unknown_set():
    """An unknown name is refused with the nearest known one."""
    with pytest.raises(UserError, match=r"Unknown template set 'photo': .*Did you mean 'photos'"):
        load_templates("photo")

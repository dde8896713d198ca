"""Candidates as words: the grammar, answers of models, and what is refused without a CLIP."""

from __future__ import annotations

import json
import re

import pytest

from mocoop.errors import UserError
from mocoop.template_making.answers import LONGEST, templates_in
from mocoop.template_making.candidates import MOST, check_number, given_templates
from mocoop.template_making.factors import FACTORS
from mocoop.template_making.grammar import grammar_templates
from mocoop.template_making.group_names import group_names
from mocoop.template_making.word_checks import WordChecks, clean
from mocoop.templates import check_template

GOOD = ["a sketch of a {}.", "a dark photo of a {}."]
OBJECTS = [{"template": text, "factor": "medium"} for text in GOOD]


def test_the_grammar():
    """Several hundred templates over all factors, each valid and there once."""
    candidates = grammar_templates()
    templates = [candidate.template for candidate in candidates]
    assert 300 <= len(templates) == len(set(templates)) < 1000
    assert {candidate.factor for candidate in candidates} == {f.key for f in FACTORS}
    words = WordChecks(["zzz"])
    for template in templates:
        check_template(template)
        assert clean(template) == template
        assert not words.problem(template), template
        assert not words.other_language(template)
    assert "an old photo of a {}." in templates
    assert "a photo of a {}, a type of pet." in [
        candidate.template for candidate in grammar_templates("A type of pet.")
    ]
    long = "these are many pictures of many different pets in homes"
    assert grammar_templates(long) == candidates


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=2),
        json.dumps({"templates": OBJECTS}),
        json.dumps(GOOD),
        f"Sure! Here is [a list] for {{}}:\n```json\n{json.dumps(OBJECTS)}\n```\nEnjoy.",
        "\n".join(json.dumps(one) for one in OBJECTS),
        json.dumps(OBJECTS)[:-20] + '", "fac',  # cut off
        "Templates:\n" + "\n".join(GOOD),
    ],
)
def test_answers_are_read_whatever_surrounds_them(answer):
    whole = GOOD[:1] if answer.endswith("fac") else GOOD
    assert [clean(text) for text in templates_in(answer)] == whole


@pytest.mark.parametrize("answer", ["", "I am sorry.", "[1, 2, null]", "{{{{[[[[", '{"a": "b"}'])
def test_answers_without_templates(answer):
    assert templates_in(answer) == []


@pytest.mark.parametrize(
    "answer",
    [
        r"""[{"template": "a child\'s drawing of a \{}.", "factor": "medium"}]""",
        r"""{"template": "a child\'s drawing of a {}.""" + '"',  # cut off
        r"""["a child\u0027s drawing of a {}."]""",
    ],
)
def test_escapes_that_json_does_not_know(answer):
    assert templates_in(answer) == ["a child's drawing of a {}."]


def test_hostile_answers_end():
    assert templates_in(r'"template": "\uzzzz"') == []
    assert templates_in("[" * (2 * LONGEST)) == []
    assert templates_in('{"template": ' * 50_000) == []


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("- A Photo of a {}", "a photo of a {}."),
        ('  3. "a  photo of an {}."', "a photo of a {}."),
        ("• “a sketch of the {}.”", "a sketch of the {}."),
        ("a photo of a {}...", "a photo of a {}."),
        ("3d model of a {}", "3d model of a {}."),
        ("", ""),
    ],
)
def test_cleaning(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("a photo.", "0 times instead of once"),
        ("a {} beside a {}.", "2 times"),
        ("a {} in {braces.", "a brace besides"),
        ("a photo of{}.", "a letter or digit next to"),
        ("see https://x.org for a {}.", "an address or markup"),
        ("a <b>photo</b> of a {}.", "an address or markup"),
        ("![x](y) of a {}.", "an address or markup"),
        ("a photo\nof a {}.", "a line break or an invisible"),
        ("a photo of a \u202e{}.", "a line break or an invisible"),
        ("{}.", "no word besides"),
        (
            "a long caption of one two three four five six seven eight nine {}.",
            r"13 words; at most 12",
        ),
        ("a photo of a {} with hot dogs.", r"names a class \(hot_dog\)"),
        ("a dog beside a {}.", r"names a class \(hot_dog\)"),
        ("a photo of berries and a {}.", r"names a class \(berry\)"),
        ("a photo without a {}.", r"a negation \(without\)"),
        ("a canon photo of a {}.", r"a name \(canon\)"),
        ("a naked {} in a photo.", r"rude \(naked\)"),
        ("sure, a photo of a {}.", r"not a caption \(sure\)"),
        ("x" * 301 + " {}.", "longer than 300"),
    ],
)
def test_words_that_are_refused(template, words):
    assert re.search(words, WordChecks(["hot_dog", "berry", "A"]).problem(template))


def test_words_that_are_kept():
    checks = WordChecks(["hot_dog", "a", "7"])
    for template in ("a photo of a {}.", "a hotel photo of the {}.", "a 7 day old {}."):
        assert not checks.problem(template)


def test_other_languages_are_marked():
    checks = WordChecks(["cat"])
    for template in ("ein foto von einem {} in der nacht.", "una foto de un {}.", "{} の写真."):
        assert not checks.problem(template)
        assert checks.other_language(template)
    assert not checks.other_language("a grainy photo of a {} at dawn.")


def test_given_templates():
    assert [c.template for c in given_templates(["a {}.", "", " "])] == ["a {}."]
    with pytest.raises(UserError, match="There is no template: expected one per line"):
        given_templates(["", " "])
    with pytest.raises(UserError, match="10,001 candidates, but at most 10,000"):
        given_templates(["a {}."] * (MOST + 1))
    check_number(MOST)


def test_group_names():
    groups = [
        ["a dark photo of a {}.", "a dark picture of a {}."],
        ["a sketch of a {}.", "a line sketch of the {}."],
        ["a photo of a {}.", "a photo of the {}."],
        ["a photo of a {}.", "an image of the {}."],
        ["{} の写真."],
    ]
    names = group_names(groups)
    assert names[:2] == ["dark", "sketch line"]
    assert len(set(names)) == len(groups)
    assert all(names)

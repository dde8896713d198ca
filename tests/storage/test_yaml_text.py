"""YAML with other values: what people wrote around them stays."""

from __future__ import annotations

import pytest
import yaml

from mocoop.storage.yaml_text import as_yaml, with_values

TEXT = """# Mine.
classes:   # the folders' codes
    GuineaPig: cavy  # as breeders say
    cat: tomcat   # him

# About words.
zero_shot: "a pet {}."  # short
groups:
    # first
    photo:
        - a photo of a {}.   # plain
        # in between
        - 'a picture of a {}.'
    # last
# At the end.
"""
VALUES = yaml.safe_load(TEXT)


def changed(**values):
    """Returns the text with some other values; those that are None go."""
    whole = {key: value for key, value in (VALUES | values).items() if value is not None}
    text, lost = with_values(TEXT, whole)
    assert yaml.safe_load(text) == whole
    return text, lost


def test_nothing_changes():
    assert with_values(TEXT, VALUES) == (TEXT, False)
    assert with_values("", {}) == ("", False)


def test_one_name_changes_in_its_line():
    text, lost = changed(classes={"GuineaPig": "pigs", "cat": "tomcat"})
    assert text == TEXT.replace("cavy", "pigs")
    assert lost


def test_a_name_goes_and_another_comes():
    text, _ = changed(classes={"cat": "tomcat", "dog": "hound"})
    assert "cavy" not in text
    assert "    cat: tomcat   # him\n" in text
    assert text.index("cat: tomcat") < text.index("dog: hound") < text.index("zero_shot")
    assert text.endswith(TEXT[TEXT.index("zero_shot") :])


def test_a_template_changes_in_its_line():
    """Also its quotes stay."""
    assert changed(zero_shot="a cat {}.")[0] == TEXT.replace("a pet {}.", "a cat {}.")


def test_a_key_goes_and_the_comments_around_it_stay():
    text, lost = changed(zero_shot=None)
    assert text == TEXT.replace('zero_shot: "a pet {}."  # short\n', "")
    assert lost
    text, _ = changed(classes=None)
    assert text.startswith("# Mine.\n")
    assert "# About words.\nzero_shot" in text
    text, _ = changed(groups=None)
    assert text.startswith(TEXT[: TEXT.index("groups")])
    assert text.endswith("# At the end.\n")


def test_other_groups_come_in_the_old_ones_place():
    groups = {"toy": ["a toy {}.", "a plush {}."], "photo": ["a photo of a {}."]}
    text, lost = changed(groups=groups)
    assert lost
    assert list(yaml.safe_load(text)["groups"]) == ["toy", "photo"]
    assert text.startswith(TEXT[: TEXT.index("    # first")])
    assert text.endswith("# At the end.\n")
    assert "in between" not in text


def test_a_new_key_goes_to_the_end():
    text, lost = with_values("# Mine.\na: 1  # one\n# Last.\n", {"a": 1, "b": ["x"]})
    assert (text, lost) == ("# Mine.\na: 1  # one\n# Last.\nb:\n- x\n", False)
    assert with_values("# Mine.\n", {"a": 1}) == ("# Mine.\n\na: 1\n", False)


def test_all_goes_but_the_comments():
    text, lost = with_values("# Mine.\na: 1\n", {})
    assert (text, lost) == ("# Mine.\n", True)
    assert with_values(text, {"b": 2}) == ("# Mine.\n\nb: 2\n", False)


@pytest.mark.parametrize(
    "value", ["no", "007", "1_000", "12:30", "2020-01-01", "a: b", "é", " x "]
)
def test_values_that_look_like_others_stay_text(value):
    """The file is read by YAML 1.1, in which `no` is false."""
    for text in ("a: 1\n", "a: before\n", "b: yes\na: 1\n"):
        values = (yaml.safe_load(text) or {}) | {"a": value}
        assert yaml.safe_load(with_values(text, values)[0]) == values


@pytest.mark.parametrize(
    "text", ["a: 1\na: 2\n", "{a: 1}", "a:   [1,2]\n", "a: &x {k: v}\nb: *x\n", "---\na: 1\n"]
)
def test_odd_texts_hold_what_they_should(text):
    values = yaml.safe_load(text) | {"a": [3], "c": {"d": ["e"]}}
    changed, lost = with_values(text, values)
    assert yaml.safe_load(changed) == values
    assert lost


def test_yaml_for_people():
    assert as_yaml({"b": ["é {}."], "a": 1}) == "b:\n- é {}.\na: 1\n"

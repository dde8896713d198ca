"""Hard prompt templates and their semantic groups."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from mocoop.assets import asset
from mocoop.errors import UserError, choose_from
from mocoop.user_yaml import read_yaml

SLOT = "{}"
END = "<end_of_text>"  # CLIP's tokenizer reads it as [EOS]

MOST_BYTES = 2**25  # of a file of `data templates` with its candidates and answers

Groups = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class TemplateSet:
    """The templates of a data set: its semantic groups and its zero-shot template."""

    groups: Groups
    """Group name → templates; an expert starts from its group's first template."""
    zero_shot: str
    """The template for zero-shot classification, before any training."""

    def __post_init__(self) -> None:
        check_groups(self.groups)
        check_template(self.zero_shot)


def load_templates(name: str) -> TemplateSet:
    """Returns the template set called `name`, a key of assets/templates.yaml."""
    known = yaml.safe_load(asset("templates.yaml").read_text(encoding="utf-8"))
    if name not in known:
        raise choose_from("template set", name, sorted(known))
    return TemplateSet(as_groups(known[name]["groups"]), known[name]["zero_shot"])


def as_groups(value: Mapping[str, Sequence[str]]) -> Groups:
    """Returns checked groups in the given order, with tuples instead of lists.

    Raises:
        UserError: for anything that is not a mapping of names to valid templates.
    """
    if not isinstance(value, Mapping) or not all(map(_are_texts, value.values())):
        raise UserError(
            "Groups are expected as a mapping from names to lists of templates, such as "
            f"{{'photo': ['a photo of a {{}}.']}}; got {value!r}."
        )
    groups = {
        str(name): (templates,) if isinstance(templates, str) else tuple(templates)
        for name, templates in value.items()
    }
    check_groups(groups)
    return groups


def groups_in(content: bytes, name: str) -> Groups:
    """Returns the groups of templates in a YAML file, or in one that `data templates` wrote.

    A file may hold the groups themselves, or have them under `groups` beside other entries.

    Args:
        content: the file's bytes.
        name: its name in messages.

    Raises:
        UserError: if it cannot be read, or holds no valid groups.
    """
    try:
        groups = _parsed(content)
    except UserError as error:
        raise UserError(f"Templates file {name} cannot be read: {error}.") from error
    if not isinstance(groups, dict):
        raise UserError(
            f"Templates file {name}: expected lines such as 'photo: [\"a photo of a {{}}.\"]'."
        )
    inner = groups.get("groups")
    return as_groups(inner if isinstance(inner, dict) else groups)


def check_groups(groups: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError unless there is a group, and every group has only valid templates."""
    if not groups:
        raise UserError("Expected at least one group of templates, got none. Add a group.")
    for name, templates in groups.items():
        if not templates:
            raise UserError(
                f"Group {name!r} has no template: expected at least one, such as "
                "'a photo of a {}.'. Add one or remove the group."
            )
        for template in templates:
            check_template(template)


def check_template(template: str) -> None:
    """Raises UserError unless the template has exactly one `{}`, not next to a letter or digit."""
    slots = template.count(SLOT)
    if slots != 1:
        raise UserError(
            f"A template needs {{}} exactly once, where the class name goes; {template!r} has "
            f"it {slots} times. Write it like 'a photo of a {{}}.'."
        )
    before, after = template.split(SLOT)
    if before[-1:].isalnum() or after[:1].isalnum():
        raise UserError(
            f"Template {template!r} has a letter or digit next to {{}}, so that the class name "
            "would become part of another word. Put a space or punctuation between them."
        )


def fill(template: str, class_name: str) -> str:
    """Returns the template with the class name in its slot, e.g. 'a photo of a cat.'.

    Underscores of the name become spaces, and several spaces one.
    """
    return template.replace(SLOT, " ".join(class_name.replace("_", " ").split()))


def _parsed(content: bytes) -> Any:
    """Returns the values in a JSON or YAML text; YAML's reader is slow with a long JSON text.

    Raises:
        UserError: if it can be read as neither of them, or a key is given twice.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"it has {len(content):,} bytes; expected at most {MOST_BYTES:,}")
    with suppress(ValueError, RecursionError):
        return json.loads(content, object_pairs_hook=_each_once)
    return read_yaml(content)  # JSON is YAML: it tells where a key is given twice


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object of JSON; raises ValueError for a key given twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is given twice")
    return values


def _are_texts(value: object) -> bool:
    """Returns whether `value` is a string or a list of strings."""
    texts = isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)
    return texts or isinstance(value, str)

"""Changes in the text of a YAML file that people write: what is not changed stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def as_yaml(values: Mapping[str, Any]) -> str:
    """Returns values as YAML that people can edit, in the given order."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=95)


def with_values(text: str, values: Mapping[str, Any]) -> tuple[str, bool]:
    """Returns a file's text with other values, and whether something of the old text is lost.

    Keys that keep their value keep their text, and comments outside of what changes stay; new
    keys go to the end. A text that cannot be changed in parts is written anew.

    Args:
        text: the text of a YAML mapping, or nothing.
        values: what it is to hold, all of it.
    """
    before: dict[str, Any] = yaml.safe_load(text) or {}
    changed, lost = text, False
    for key in [key for key in before if before[key] != values.get(key)]:
        changed = _without(changed, key)
        lost = lost or before[key] is not None
    new = {key: value for key, value in values.items() if before.get(key) != value}
    if new:
        gap = "\n" if changed.strip() else ""
        changed = changed.rstrip("\n") + ("\n" if gap else "") + gap + as_yaml(new)
    if _holds(changed, values):
        return changed, lost
    return as_yaml(values), True


def _holds(text: str, values: Mapping[str, Any]) -> bool:
    try:
        return (yaml.safe_load(text) or {}) == dict(values)
    except yaml.YAMLError:
        return False


def _without(text: str, key: str) -> str:
    """Returns the text without a key's lines; comments that follow them stay."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return text
    lines = text.splitlines(keepends=True)
    for name, value in root.value:
        if name.value == key:
            first, after = name.start_mark.line, value.end_mark.line
            if value.end_mark.column > 0 or after == first:
                after += 1
            while after - 1 > first and _says_nothing(lines[after - 1]):
                after -= 1
            return "".join(lines[:first] + lines[after:])
    return text


def _says_nothing(line: str) -> bool:
    """Whether a line is empty or a comment that belongs to no indented value."""
    return not line.strip() or line.startswith("#")

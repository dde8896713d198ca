"""Changes values in a YAML text that users also edit; its comments and order stay the same."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.tokens import CommentToken

# Usual indents, as arguments of `YAML.indent`: mapping, sequence, and offset of the dashes.
_INDENTS = ((2, 2, 0), (2, 4, 2), (4, 4, 0), (4, 4, 2), (4, 6, 4))
_WIDE = 10**6  # so wide that no line is wrapped


def as_yaml(values: Mapping[str, Any]) -> str:
    """Returns values as YAML that users can edit, in the given order."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=95)


def with_values(text: str, values: Mapping[str, Any]) -> tuple[str, bool]:
    """Returns a YAML text with new values, and whether something of the old text is lost.

    Keys that do not change keep their position and comments; new keys are added at the end. If
    single values of the text cannot be changed, the whole text is written again.

    Args:
        text: the text of a YAML mapping; may be empty.
        values: all values that the new text must contain.
    """
    before: dict[str, Any] = yaml.safe_load(text) or {}
    if before == dict(values):
        return text, False
    if before:
        changed, same_form = _edited(text, before, values)
    else:  # nothing but comments
        gap = "\n\n" if text.strip() else ""
        changed, same_form = text.rstrip("\n") + gap + as_yaml(values), True
    if not _holds(changed, values):
        return as_yaml(values), bool(text.strip())
    lost = any(value is not None and values.get(key) != value for key, value in before.items())
    return changed, lost or not same_form


def _edited(text: str, before: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, bool]:
    """Returns the text with new values, and whether the rest is exactly the same as before.

    The text is empty if single values cannot be changed.
    """
    try:
        writer, document = _opened(text)
        same_form = _dumped(writer, document) == text
        # PyYAML decides which values need quotes, because PyYAML reads the file.
        fresh = YAML().load(as_yaml(values))
    except (YAMLError, ValueError):  # for example because a key occurs twice
        return "", False
    for key in before:
        if key not in values:
            _remove(document, key)
        elif values[key] != before[key]:
            _replace(document, key, fresh[key])
    for key in values:
        if key not in before:
            document[key] = fresh[key]
    return _dumped(writer, document), same_form


def _opened(text: str) -> tuple[YAML, CommentedMap]:
    """Returns a text's document, and a writer with the text's indents if they are usual ones."""
    for indents in _INDENTS:
        writer = YAML()
        writer.preserve_quotes = True
        writer.width = _WIDE
        writer.indent(*indents)
        document = writer.load(text)
        if _dumped(writer, document) == text:
            break
    return writer, document


def _dumped(writer: YAML, document: CommentedMap) -> str:
    """Returns a document as text."""
    stream = io.StringIO()
    writer.dump(document, stream)
    # An empty mapping is written as its comments only.
    return stream.getvalue() if document else stream.getvalue().removesuffix("{}\n")


def _replace(holder: CommentedMap, key: Any, value: Any) -> None:
    """Replaces the value of a key; comments stay, except inside a value replaced as a whole."""
    old = holder[key]
    if isinstance(old, CommentedMap) and isinstance(value, CommentedMap):
        kept = [name for name in old if name in value]
        if kept and [*kept, *(name for name in value if name not in old)] == list(value):
            for name in list(old):
                if name not in value:
                    _remove(old, name)
                elif old[name] != value[name]:
                    _replace(old, name, value[name])
            old.update({name: value[name] for name in value if name not in old})
            return
    if isinstance(old, str) and isinstance(value, str):
        holder[key] = value
        return
    following = _following(holder, key)
    holder.ca.items.pop(key, None)
    holder[key] = value
    _add_following(holder, key, following)


def _remove(holder: CommentedMap, key: Any) -> None:
    """Removes a key and its value; comment lines after it stay."""
    following = _following(holder, key)
    keys = list(holder)
    position = keys.index(key)
    holder.ca.items.pop(key, None)
    del holder[key]
    if position > 0:
        _add_following(holder, keys[position - 1], following)
    elif following:
        holder.ca.comment = holder.ca.comment or [None, []]
        holder.ca.comment[1] = [*(holder.ca.comment[1] or ()), _comment(following)]


def _following(holder: Any, key: Any) -> str:
    """Returns the comment lines after a value; ruamel.yaml stores them at its last scalar."""
    inner, last, slot = _last_scalar(holder, key)
    token = inner.ca.items.get(last, (None,) * 4)[slot]
    text = "" if token is None else token.value.partition("\n")[2]
    value = holder[key]
    if isinstance(value, (CommentedMap, CommentedSeq)):
        text += "".join(token.value for token in value.ca.end)
    return text


def _add_following(holder: Any, key: Any, text: str) -> None:
    """Adds comment lines after a value."""
    if not text:
        return
    inner, last, slot = _last_scalar(holder, key)
    tokens = inner.ca.items.setdefault(last, [None] * 4)
    if tokens[slot] is None:
        tokens[slot] = _comment("\n" + text)
    else:
        tokens[slot].value += text


def _last_scalar(holder: Any, key: Any) -> tuple[Any, Any, int]:
    """Returns a value's last scalar: its mapping or list, its key, and its comment's slot."""
    value = holder[key]
    if isinstance(value, (CommentedMap, CommentedSeq)) and value and not value.fa.flow_style():
        return _last_scalar(value, list(value)[-1] if isinstance(value, dict) else len(value) - 1)
    return holder, key, 2 if isinstance(holder, dict) else 0


def _comment(text: str) -> CommentToken:
    return CommentToken(text, CommentMark(0), None)


def _holds(text: str, values: Mapping[str, Any]) -> bool:
    """Returns whether a YAML text contains exactly these values."""
    try:
        return (yaml.safe_load(text) or {}) == dict(values)
    except yaml.YAMLError:
        return False

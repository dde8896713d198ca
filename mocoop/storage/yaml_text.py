"""YAML that people write too: other values, with comments and order as they are."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.tokens import CommentToken

# Spaces of a mapping in a mapping, of a list in a mapping, and in front of the list's dashes.
_INDENTS = ((2, 2, 0), (2, 4, 2), (4, 4, 0), (4, 4, 2), (4, 6, 4))
_WIDE = 10**6  # no line is broken


def as_yaml(values: Mapping[str, Any]) -> str:
    """Returns values as YAML that people can edit, in the given order."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=95)


def with_values(text: str, values: Mapping[str, Any]) -> tuple[str, bool]:
    """Returns a file's text with other values, and whether something of the old text is lost.

    What does not change keeps its place and its comments; new keys go to the end. A text that
    cannot be changed in parts is written anew.

    Args:
        text: the text of a YAML mapping, or nothing.
        values: what it is to hold, all of it.
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
    goes = any(value is not None and values.get(key) != value for key, value in before.items())
    return changed, goes or not same_form


def _edited(text: str, before: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, bool]:
    """Returns the text with other values, and whether the rest is as it was, to the letter.

    The text is empty where it cannot be changed in parts.
    """
    try:
        writer, document = _opened(text)
        same_form = _dumped(writer, document) == text
        # PyYAML decides what needs quotes, since it is PyYAML that reads the file.
        fresh = YAML().load(as_yaml(values))
    except (YAMLError, ValueError):  # such as a key that is there twice
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
    """Returns a text's document, and a writer whose indents give the text back if one does."""
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
    stream = io.StringIO()
    writer.dump(document, stream)
    # Of an empty mapping only its comments stay.
    return stream.getvalue() if document else stream.getvalue().removesuffix("{}\n")


def _replace(holder: CommentedMap, key: Any, value: Any) -> None:
    """Puts another value under a key; comments stay, those in a value that goes whole with it."""
    old = holder[key]
    if isinstance(old, CommentedMap) and isinstance(value, CommentedMap):
        stay = [name for name in old if name in value]
        if stay and [*stay, *(name for name in value if name not in old)] == list(value):
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
    """Removes a key with its value; comments in the lines that follow stay."""
    following = _following(holder, key)
    keys = list(holder)
    place = keys.index(key)
    holder.ca.items.pop(key, None)
    del holder[key]
    if place > 0:
        _add_following(holder, keys[place - 1], following)
    elif following:
        holder.ca.comment = holder.ca.comment or [None, []]
        holder.ca.comment[1] = [*(holder.ca.comment[1] or ()), _comment(following)]


def _following(holder: Any, key: Any) -> str:
    """Returns the comment lines after a value; ruamel.yaml keeps them with its last scalar."""
    inner, last, place = _last_scalar(holder, key)
    token = inner.ca.items.get(last, (None,) * 4)[place]
    text = "" if token is None else token.value.partition("\n")[2]
    value = holder[key]
    if isinstance(value, (CommentedMap, CommentedSeq)):
        text += "".join(token.value for token in value.ca.end)
    return text


def _add_following(holder: Any, key: Any, text: str) -> None:
    """Adds comment lines after a value."""
    if not text:
        return
    inner, last, place = _last_scalar(holder, key)
    tokens = inner.ca.items.setdefault(last, [None] * 4)
    if tokens[place] is None:
        tokens[place] = _comment("\n" + text)
    else:
        tokens[place].value += text


def _last_scalar(holder: Any, key: Any) -> tuple[Any, Any, int]:
    """Returns where a value ends: mapping or list, key in it, and the place of its comment."""
    value = holder[key]
    if isinstance(value, (CommentedMap, CommentedSeq)) and value and not value.fa.flow_style():
        return _last_scalar(value, list(value)[-1] if isinstance(value, dict) else len(value) - 1)
    return holder, key, 2 if isinstance(holder, dict) else 0


def _comment(text: str) -> CommentToken:
    return CommentToken(text, CommentMark(0), None)


def _holds(text: str, values: Mapping[str, Any]) -> bool:
    try:
        return (yaml.safe_load(text) or {}) == dict(values)
    except yaml.YAMLError:
        return False

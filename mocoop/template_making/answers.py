"""Reads the templates in a chat model's answer, whatever surrounds them."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from mocoop.templates import SLOT

# Models write \' or \{ as in other languages, which JSON does not know.
_ESCAPE = re.compile(r'\\(["\\/bfnrtu])|\\')
_PAIR = re.compile(r'"template"\s*:\s*("(?:[^"\\]|\\.)*")')
_KEYS = ("templates", "captions", "items", "result", "results", "data")
LONGEST = 200_000  # characters of an answer that are read
_TRIES = 300  # brackets at which JSON may begin


def templates_in(answer: str) -> list[str]:
    """Returns the texts that an answer offers as templates, unchecked; [] if there are none.

    The model is asked for a JSON list of objects with `template`. Lists of texts, an object
    around the list, JSON inside of other text, lists that were cut off, and plain lines with
    `{}` are read too.
    """
    answer = _ESCAPE.sub(lambda found: found[0] if found[1] else "", answer[:LONGEST])
    found: list[str] = []
    decoder = json.JSONDecoder()
    position = tries = 0
    while tries < _TRIES and (start := _next_bracket(answer, position)) >= 0:
        tries += not found
        try:
            value, position = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            position = start + 1
            continue
        found += _texts(value)
    if not found:
        for text in _PAIR.findall(answer):
            with suppress(ValueError):  # a damaged \u
                found.append(json.loads(text, strict=False))
    if not found:
        found = [line for line in answer.splitlines() if SLOT in line]
    return [text for text in found if text.strip()]


def _next_bracket(text: str, position: int) -> int:
    """Returns the index of the next list or object; -1 without any. `{}` is a slot, not one."""
    while position < len(text):
        found = re.compile(r"[\[{]").search(text, position)
        if found is None:
            return -1
        if not text.startswith(SLOT, found.start()):
            return found.start()
        position = found.start() + len(SLOT)
    return -1


def _texts(value: Any) -> list[str]:
    """Returns the templates in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        if isinstance(value.get("template"), str):
            return [value["template"]]
        inner = [value[key] for key in _KEYS if isinstance(value.get(key), list)]
        return [text for item in inner for text in _texts(item)]
    return []

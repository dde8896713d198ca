"""Changes whole files into odd ones, by a seeded generator."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

EVIL_TEXTS = (
    "", "\0", "../../evil", "/etc/passwd", "C:\\evil", "~", "a" * 5000,
    "<img src=x onerror=alert(1)>", "![i](http://203.0.113.1/x.png)", "[x](javascript:alert(1))",
    "$x$ :material/check:", "=cmd|'/c'!A1", "\u202e\u0000\ud7ff", "é" * 300, "nan", "1e999",
    "9" * 400, "-1", "{{7*7}}", "%s%n", "'; DROP TABLE",
)  # fmt: skip
EVIL_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e300, 2**63, -(2**70), 0.5, "", [], {}, [[]], {"a": {}}, *EVIL_TEXTS,
)  # fmt: skip
EVIL_PATHS = (
    "../evil.png", "/tmp/evil.png", "a/../../evil.png", "C:/evil.png", "a\\..\\..\\evil.png",
    "x" * 400 + ".png", "con.png", "a/b/" * 60 + "c.png", ".hidden.png", "a\nb.png", "mocoop.yaml",
)  # fmt: skip


def bytes_changed(content: bytes, dice: random.Random) -> bytes:
    """Returns the bytes with a few of them changed, removed, repeated or cut off."""
    changed = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        if not changed:
            break
        place = dice.randrange(len(changed))
        piece = slice(place, place + dice.randint(1, 16))
        match dice.randrange(5):
            case 0:
                changed[place] = dice.randrange(256)
            case 1:
                del changed[piece]
            case 2:
                changed[place:place] = changed[piece] * dice.choice((1, 50))
            case 3:
                changed[piece] = dice.randbytes(16)
            case _:
                changed = changed[:place]
    return bytes(changed)


def value_changed(value: Any, dice: random.Random) -> Any:
    """Returns a JSON value in which one part, at any depth, is another or is missing."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        key = dice.choice(list(value))
        rest = dict(value)
        match dice.randrange(8):
            case 0:
                del rest[key]
            case 1:
                rest[dice.choice(EVIL_TEXTS)] = rest.pop(key)
            case _:
                rest[key] = value_changed(value[key], dice)
        return rest
    if isinstance(value, list) and value and dice.random() < 0.7:
        place = dice.randrange(len(value))
        return [*value[:place], value_changed(value[place], dice), *value[place + 1 :]]
    return dice.choice(EVIL_VALUES)


def json_changed(content: bytes, dice: random.Random) -> bytes:
    """Returns the text of a JSON file with another value, odd numbers, or deep brackets."""
    match dice.randrange(6):
        case 0:
            return bytes_changed(content, dice)
        case 1:
            return b"[" * dice.choice((100, 200_000))
        case 2:
            digits = [place for place, sign in enumerate(content) if 48 <= sign <= 57] or [0]
            place = dice.choice(digits)
            odd = dice.choice((b"NaN", b"Infinity", b"1e999", b"9" * 400))
            return content[:place] + odd + content[place + 1 :]
        case _:
            lines = content.decode().strip().split("\n") if _has_lines(content) else None
            if lines is None:
                return json.dumps(value_changed(json.loads(content), dice)).encode()
            place = dice.randrange(len(lines))
            lines[place] = json.dumps(value_changed(json.loads(lines[place]), dice))
            return ("\n".join(lines) + "\n").encode()


def _has_lines(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return True
    return False


def files_changed(files: Mapping[str, bytes], dice: random.Random) -> dict[str, bytes]:
    """Returns named files of which one has another content or another name."""
    changed = dict(files)
    name = dice.choice(list(changed))
    if dice.random() < 0.3:
        changed[dice.choice(EVIL_PATHS)] = changed.pop(name)
    else:
        is_json = name.endswith((".json", ".jsonl"))
        changed[name] = (json_changed if is_json else bytes_changed)(changed[name], dice)
    return changed

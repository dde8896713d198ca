"""Reads YAML that users write or upload, within limits."""

from __future__ import annotations

from typing import Any

import yaml

from mocoop.errors import UserError

MOST_BYTES = 2**20  # of a file that users write
MOST_LEVELS = 20  # of brackets and indents in it
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # faster, where it was built


def read_yaml(content: str | bytes, as_texts: bool = False) -> Any:
    """Returns the value of a YAML text that users write or upload.

    Args:
        content: the text.
        as_texts: whether every single value is a text, just as it is written: for YAML itself
            `no` is false, and `007` a number.

    Raises:
        UserError: for a text that cannot be read, is too long or nested too deeply, in which a
            key is given twice, or an alias repeats a value: a short text could stand for a huge
            value.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"it has {len(content):,} bytes; expected at most {MOST_BYTES:,}")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        levels = 0
        for event in yaml.parse(text, _LOADER):  # event by event, so without recursion
            levels += isinstance(event, yaml.CollectionStartEvent)
            levels -= isinstance(event, yaml.CollectionEndEvent)
            if levels > MOST_LEVELS:
                raise UserError(f"it is nested more than {MOST_LEVELS} levels deep")
            if isinstance(event, yaml.AliasEvent):
                raise UserError("it repeats a value by an alias (*name): write the value out")
        _check_keys(yaml.compose(text, _LOADER))
        # The base loader makes texts, lists and dictionaries, and nothing else.
        return yaml.load(text, yaml.BaseLoader if as_texts else yaml.SafeLoader)
    except UserError:
        raise
    # ValueError: of a date or a number that there is not.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(reason[:300] or "it is no text") from error


def _check_keys(node: yaml.Node | None) -> None:
    """Raises UserError for a key that is given twice, of which YAML would take the last one."""
    lines: dict[str, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in lines:
                    raise UserError(
                        f"{key.value} is given twice, on the lines {lines[key.value]} and {line}"
                    )
                lines[key.value] = line
            _check_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_keys(value)

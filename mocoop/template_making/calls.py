"""What was asked of a chat model, and its raw answer: stored with the templates, and replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from mocoop.errors import UserError
from mocoop.template_making.answers import templates_in
from mocoop.template_making.candidates import MOST, Candidate


@dataclass(frozen=True)
class Call:
    """One call of a chat model. The key that opens its endpoint is not part of it."""

    factor: str
    """The key of the factor that was asked about."""
    round: int
    """1, or more if it was asked again because no template had passed the checks."""
    model: str
    url: str
    """Address of the endpoint, without a user, a password or a query."""
    settings: Mapping[str, Any]
    """Temperature and seed, as they were sent."""
    date: str
    """When it was asked: ISO 8601, UTC."""
    system: str
    prompt: str
    answer: str
    """The raw answer."""
    ended: str
    """Why the model stopped, as the endpoint says it, such as `stop` or `length`."""

    def candidates(self) -> tuple[Candidate, ...]:
        """Returns the templates that the answer offers, unchecked."""
        return tuple(Candidate(text, self.factor) for text in templates_in(self.answer))

    def to_dict(self) -> dict[str, Any]:
        """Returns the call as plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Reply:
    """A raw answer, and how it came about."""

    text: str
    ended: str
    """Why the model stopped, as the endpoint says it."""
    settings: Mapping[str, Any]
    """The settings that were sent."""


def candidates_of(calls: Sequence[Call]) -> tuple[Candidate, ...]:
    """Returns the candidates of all answers, in their order; at most `MOST`."""
    return tuple(candidate for call in calls for candidate in call.candidates())[:MOST]


def check_any(calls: Sequence[Call], candidates: Sequence[Candidate]) -> None:
    """Raises UserError if the answers have no template at all; it shows the first answer."""
    if candidates:
        return
    answer = " ".join(calls[0].answer.split()) if calls else ""
    shown = f"The first one is {answer[:200]!r}." if answer else "The first one is empty."
    raise UserError(
        f"{len(calls)} answers have no template in them. {shown} Choose a model that follows "
        "instructions and answers with JSON, or use the built-in grammar."
    )


def calls_from(values: object, name: str) -> tuple[Call, ...]:
    """Returns the calls that a file of templates holds.

    Args:
        values: what the file has under `calls`.
        name: the file's name in messages.

    Raises:
        UserError: if there are none, or one is not complete.
    """
    if not isinstance(values, list) or not values:
        raise UserError(
            f"{name} has no answers of a model to replay: expected a file that `mocoop data "
            "templates --model` wrote."
        )
    expected = {field.name: field.type for field in fields(Call)}
    found = []
    for value in values:
        if not isinstance(value, dict) or set(value) != set(expected):
            raise UserError(
                f"{name}: expected every call with {', '.join(expected)}; got "
                f"{', '.join(value) if isinstance(value, dict) else repr(value)[:60]}."
            )
        wrong = [
            key for key, kind in expected.items() if kind == "str" and not _is_text(value, key)
        ]
        if wrong:
            raise UserError(f"{name}: expected {wrong[0]} of every call to be a text.")
        found.append(Call(**value))
    return tuple(found)


def _is_text(value: Mapping[str, Any], key: str) -> bool:
    return isinstance(value[key], str)

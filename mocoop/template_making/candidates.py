"""A candidate for a template, and what the checks found about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mocoop.errors import UserError
from mocoop.template_making.factors import OWN

MOST = 10_000  # candidates that are looked at


@dataclass(frozen=True)
class Candidate:
    """A text that may become a template."""

    template: str
    factor: str
    """The key of the factor that it was written for."""


@dataclass(frozen=True)
class Judged:
    """A candidate after the checks."""

    template: str
    """Cleaned: one line, lower case, a full stop at its end."""
    factor: str
    reason: str = ""
    """Why it was refused; "" if it was kept."""
    other_language: bool = False
    """Whether it seems to be in another language than English."""
    tokens_before: int = 0
    """Tokens before the class name; 0 if it was refused before they were counted."""
    tokens_after: int = 0
    """Tokens after the class name."""
    accuracy: float | None = None
    """Zero-shot accuracy of this template alone on the few-shot training images, in percent."""
    in_no_group: bool = False
    """Whether it passed all checks but is in no group, because the groups do not need it."""

    @property
    def kept(self) -> bool:
        """Whether it passed all checks."""
        return not self.reason


def given_templates(lines: Sequence[str]) -> tuple[Candidate, ...]:
    """Returns the candidates in a user's lines of text; empty lines are left out.

    Raises:
        UserError: if there are none, or more than `MOST`.
    """
    found = tuple(Candidate(line, OWN) for line in lines if line.strip())
    if not found:
        raise UserError("There is no template: expected one per line, such as 'a photo of a {}.'.")
    check_number(len(found))
    return found


def check_number(count: int) -> None:
    """Raises UserError for more than `MOST` candidates."""
    if count > MOST:
        raise UserError(
            f"There are {count:,} candidates, but at most {MOST:,} are looked at. Leave some out."
        )

"""The file of made templates: one JSON document with the groups and all that led to them.

`mocoop train --templates FILE` reads its `groups`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mocoop import __version__
from mocoop.clip.backbone import Backbone
from mocoop.errors import UserError
from mocoop.template_making.calls import Call, calls_from
from mocoop.template_making.candidates import Judged
from mocoop.template_making.making import GroupingSettings, Made
from mocoop.templates import Groups

KIND = "mocoop templates"
VERSION = 1


def record(
    made: Made,
    data: str,
    about: str,
    backbone: Backbone,
    settings: GroupingSettings,
    source: str,
    calls: Sequence[Call] = (),
) -> dict[str, Any]:
    """Returns everything about made templates as plain values for JSON.

    Args:
        made: the groups.
        data: the data set's name.
        about: its description.
        backbone: the CLIP that checked and grouped.
        settings: how they were checked and grouped.
        source: where the candidates come from, such as `grammar`.
        calls: the calls of a chat model.
    """
    return {
        "kind": KIND,
        "version": VERSION,
        "mocoop_version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": data,
        "about": about,
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
        "settings": asdict(settings),
        "source": source,
        "groups": {name: list(templates) for name, templates in made.groups.items()},
        "groups_sha256": groups_hash(made.groups),
        "shares": made.shares,
        "validation": made.validation,
        "grouping": {
            "method": made.method,
            "why": made.chosen.why,
            "agreement_with_factors": made.factors,
            "tried": [
                {
                    "count": one.count,
                    "groups": one.groups,
                    "silhouette": one.silhouette,
                    "stability": one.stability,
                    "validation": one.validation,
                }
                for one in made.chosen.tried
            ],
        },
        "remarks": list(made.remarks),
        "controls": {name: asdict(control) for name, control in made.controls.items()},
        "candidates": [asdict(one) for one in made.judged],
        "calls": [call.to_dict() for call in calls],
    }


def with_groups(document: Mapping[str, Any], groups: Groups) -> dict[str, Any]:
    """Returns a record with groups that were changed by hand, without what no longer holds.

    Args:
        document: from `record`.
        groups: the groups now.
    """
    same = groups_hash(groups) == document["groups_sha256"]
    if same:
        return dict(document)
    return dict(document) | {
        "groups": {name: list(templates) for name, templates in groups.items()},
        "groups_sha256": groups_hash(groups),
        "shares": {},
        "validation": None,
        "remarks": ["The groups were changed by hand."],
    }


def groups_hash(groups: Groups) -> str:
    """Returns the SHA-256 of groups: of their names, their templates and the order."""
    text = json.dumps([[name, list(templates)] for name, templates in groups.items()])
    return hashlib.sha256(text.encode()).hexdigest()


def read_calls(path: Path) -> tuple[tuple[Call, ...], str]:
    """Returns the calls that a file of made templates holds, and the data set's description.

    Raises:
        UserError: if it cannot be read, or holds no calls.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise UserError(
            f"{path} is no file of made templates: expected one that `mocoop data "
            "templates` wrote."
        )
    return calls_from(values.get("calls"), str(path)), str(values.get("about", ""))


def refusals(judged: Sequence[Judged]) -> dict[str, int]:
    """Returns how many candidates were refused for each reason, the most frequent first."""
    kinds = Counter(_kind(one.reason) for one in judged if not one.kept)
    return dict(kinds.most_common())


def _kind(reason: str) -> str:
    """Returns a reason without what differs from candidate to candidate."""
    if "% of the training images" in reason:
        return "worse than the others on the training images"
    if "tokens with the class name" in reason:
        return "too long with the longest class name"
    if "tokens besides" in reason or "words; at most" in reason:
        return "too short or too long"
    return reason.partition(" (")[0].partition(" '")[0]

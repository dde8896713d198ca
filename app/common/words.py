"""Runs, times, data sets and template groups in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from app.common.methods import method_name
from mocoop.catalog.uploads import UPLOADS
from mocoop.clip.backbone import DEMO
from mocoop.config import TrainConfig
from mocoop.datasets.benchmarks import data_root
from mocoop.errors import UserError
from mocoop.templates import Groups, as_groups

GROUP, TEMPLATES = "Group", "Templates"  # columns of the table of templates
SEPARATOR = " | "


def groups_to_rows(groups: Groups) -> list[dict[str, str]]:
    """Returns one row for each group, its templates joined by bars."""
    return [{GROUP: name, TEMPLATES: SEPARATOR.join(ts)} for name, ts in groups.items()]


def rows_to_groups(rows: Iterable[Mapping[str, object]]) -> Groups:
    """Returns the checked groups of an edited table; rows without any text are left out.

    Templates stand on lines of their own or between bars.

    Raises:
        UserError: for a group without a name, a name given twice, or a bad template.
    """
    groups: dict[str, tuple[str, ...]] = {}
    for row in rows:
        name, text = _text(row.get(GROUP)), _text(row.get(TEMPLATES))
        if not name and not text:
            continue
        if not name:
            raise UserError(f"The group of {text!r} has no name. Give it one or remove its row.")
        if name in groups:
            raise UserError(f"Two groups are called {name!r}. Rename one, or join them.")
        parts = (part.strip() for part in text.replace("\n", "|").split("|"))
        groups[name] = tuple(part for part in parts if part)
    return as_groups(groups)


def data_label(choice: str) -> str:
    """Returns what the choice of data sets shows: of an uploaded set its name, not its path."""
    path = Path(choice)
    return f"{path.name} (uploaded)" if path.parent == data_root() / UPLOADS else choice


def duration(seconds: float) -> str:
    """Returns a time in words, rounded as an estimate deserves: 'about 20 s'."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 100:
        return f"about {round(seconds, -1):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.0f} h"


def run_title(config: TrainConfig) -> str:
    """Returns a run's settings in a line: 'pictographs · MoCoOp · 16 shots · seed 1'.

    The CLIP is named if it is not the demo.
    """
    shots = "1 shot" if config.shots == 1 else f"{config.shots} shots"
    parts = [Path(config.data).name, method_name(config), shots, f"seed {config.seed}"]
    if config.classes == "base":
        parts.append("base classes")
    if config.style:
        parts.append(f"{config.style} only")
    if config.backbone != DEMO:
        given = Path(config.backbone)
        parts.append(given.name if given.is_absolute() else config.backbone)
    return " · ".join(parts)


def _text(value: object) -> str:
    """Returns a table cell's text; empty for a cell that was never filled (None or NaN)."""
    return value.strip() if isinstance(value, str) else ""

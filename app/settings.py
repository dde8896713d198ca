"""Between the Train page's form and `TrainConfig`: words, table rows and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mocoop.config import TrainConfig
from mocoop.datasets import BUILTIN, Dataset
from mocoop.errors import UserError
from mocoop.evaluate import class_range
from mocoop.model import expert_groups
from mocoop.templates import Groups, as_groups

METHOD_NAMES = {"mocoop": "MoCoOp", "coop": "CoOp", "zero-shot": "Zero-shot"}
METHOD_LINES = {
    "mocoop": "Several learnt prompts, one per style; a router picks some for every image.",
    "coop": "One learnt prompt for every image, and nothing that holds it back.",
    "zero-shot": "No training: the plain prompt and the frozen CLIP, to compare with.",
}
SHOTS = (1, 2, 4, 8, 16)
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


def data_name(typed: str) -> str:
    """Returns a built-in set's name, or the absolute path of the folder that was typed.

    Raises:
        UserError: if nothing was typed.
    """
    text = typed.strip()
    if not text:
        raise UserError("Choose a data set, or type the path of a folder of images.")
    return text if text in BUILTIN else str(Path(text).expanduser().resolve())


def check_together(config: TrainConfig, dataset: Dataset) -> tuple[int, int]:
    """Returns the numbers of classes and of experts that would be trained.

    Raises:
        UserError: for settings that do not fit the data set.
    """
    groups = expert_groups(config, dataset.templates)
    config.check_num_chosen(len(groups))
    return len(class_range(config.classes, len(dataset.class_names))), len(groups)


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
    """Returns a run's settings in a line: 'pictographs · MoCoOp · 16 shots · seed 1'."""
    shots = "1 shot" if config.shots == 1 else f"{config.shots} shots"
    parts = [Path(config.data).name, METHOD_NAMES[config.method], shots, f"seed {config.seed}"]
    if config.classes == "base":
        parts.append("base classes")
    return " · ".join(parts)


def _text(value: object) -> str:
    """Returns a table cell's text; empty for a cell that was never filled (None or NaN)."""
    return value.strip() if isinstance(value, str) else ""

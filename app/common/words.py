"""Text for runs, times, data sets and template groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from app.common.methods import method_name
from mocoop.catalog.uploads import UPLOADS
from mocoop.config import DEMO, TrainConfig
from mocoop.datasets.benchmarks import data_root
from mocoop.errors import UserError
from mocoop.shots import ALL_SHOTS
from mocoop.templates import Groups, as_groups

GROUP, TEMPLATES = "Group", "Templates"  # columns of the table of templates
BESIDE, CHECK = "Side by side", "Check"  # tabs of Compare and Data to which other pages lead
SEPARATOR = " | "
_BETWEEN = re.compile(r"\n|(?<!\\)\|")  # what separates typed templates
NO_CLEAR_DIFFERENCE = "no clear difference"
_ROLES = {
    "many": "the pattern",
    "cropped": "the close-up",
    "left": "the thing on the left",
    "right": "the thing on the right",
}


def groups_to_rows(groups: Groups) -> list[dict[str, str]]:
    r"""Returns one row per group; its templates are joined by `|`, and their own `|` is `\|`."""
    return [
        {GROUP: name, TEMPLATES: SEPARATOR.join(one.replace("|", "\\|") for one in templates)}
        for name, templates in groups.items()
    ]


def rows_to_groups(rows: Iterable[Mapping[str, object]], known: Groups | None = None) -> Groups:
    r"""Returns the checked groups of an edited table, without its empty rows.

    Templates are separated by line breaks or by `|`; `\|` stands for a `|` of their own.

    Args:
        rows: the table's.
        known: the data set's own groups. A row that nobody changed is one of them, to the letter:
            with its spaces and line breaks.

    Raises:
        UserError: if a group has no name, two groups have the same name, or a template is bad.
    """
    own = known or {}
    unchanged: dict[tuple[object, object], tuple[str, tuple[str, ...]]] = {
        (row[GROUP], row[TEMPLATES]): group
        for row, group in zip(groups_to_rows(own), own.items(), strict=True)
    }
    groups: dict[str, tuple[str, ...]] = {}
    for row in rows:
        cells = row.get(GROUP), row.get(TEMPLATES)
        name, templates = unchanged.get(cells) or _typed_row(*map(_text, cells))
        if not name and not templates:
            continue
        if name in groups:
            raise UserError(f"Two groups are called {name!r}. Rename one or merge them.")
        groups[name] = templates
    return as_groups(groups)


def _typed_row(name: str, text: str) -> tuple[str, tuple[str, ...]]:
    """Returns a typed row's name and templates; both are empty in an empty row.

    Raises:
        UserError: if only the name is missing.
    """
    if text and not name:
        raise UserError(
            f"The group with the templates {text!r} has no name. Give it a name or delete its row."
        )
    parts = (part.replace("\\|", "|").strip() for part in _BETWEEN.split(text))
    return name, tuple(part for part in parts if part)


def data_label(choice: str) -> str:
    """Returns a data set's entry in the menu; an uploaded set shows its name, not its path."""
    path, uploads = Path(choice), data_root() / UPLOADS
    return f"{path.name} (uploaded)" if path.parent in (uploads, uploads.resolve()) else choice


def signed(value: float) -> str:
    """Returns a difference in points with its sign and one digit."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")  # + 0.0: no minus before a zero


def duration(seconds: float) -> str:
    """Returns a time in words, rounded as an estimate: 'about 20 s'."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 100:
        return f"about {round(seconds, -1):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.0f} h"


def images_per_class(shots: int) -> str:
    """Returns a number of training images per class: '1 image per class', 'all images'."""
    if shots == ALL_SHOTS:
        return "all images"
    return f"{shots} image{'s' * (shots != 1)} per class"


def more_differs(settings: Mapping[str, Mapping[str, str]]) -> str:
    """Returns that runs differ in more than the method, as Markdown; empty if they do not.

    Args:
        settings: setting → name of a run → its value in words.
    """
    if not settings:
        return ""
    names = {"shots": "images per class", "backbone": "CLIP", "classes": "trained classes"}
    kinds = ", ".join(names.get(name, name.replace("_", " ")) for name in settings)
    return (
        f"These runs differ in more than the method: {kinds}. So a difference between them is not "
        "the method's alone."
    )


def run_title(config: TrainConfig) -> str:
    """Returns a run's settings in one line: 'albums · MoCoOp · 16 images per class · seed 1'.

    The line names the CLIP if it is not the demo.
    """
    shots = images_per_class(config.shots)
    parts = [Path(config.data).name, method_name(config), shots, f"seed {config.seed}"]
    if config.classes == "base":
        parts.append("base classes")
    if config.style:
        parts.append(f"{config.style} only")
    if config.backbone != DEMO:
        given = Path(config.backbone)
        parts.append(given.name if given.is_absolute() else config.backbone)
    return " · ".join(parts)


def role_in_words(role: str) -> str:
    """Returns which thing of a scene has a role: 'the small thing', 'the close-up'."""
    return _ROLES.get(role, f"the {role} thing")


def escape_markdown(text: str) -> str:
    """Returns Markdown that shows a text literally, without any formatting."""
    return re.sub(r"([\\`*_{}\[\]()<>#|~$]|:(?=\w))", r"\\\1", text)


def _text(value: object) -> str:
    """Returns the text of a table's cell; empty for a cell without a value (None or NaN)."""
    return value.strip() if isinstance(value, str) else ""

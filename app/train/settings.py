"""Between the Train page's form and `TrainConfig`: words, table rows and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from app.common.methods import method_name
from app.jobs.estimates import Size
from mocoop.catalog.uploads import UPLOADS
from mocoop.clip.backbone import DEMO, check_backbone_name
from mocoop.config import TrainConfig
from mocoop.datasets import BENCHMARKS, BUILTIN, Dataset
from mocoop.datasets.benchmarks import data_root
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import class_range
from mocoop.methods import preset
from mocoop.model.mixture import expert_groups
from mocoop.templates import Groups, as_groups
from mocoop.training.prepare import few_shot_items

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
    """Returns a built-in or benchmark set's name, or the typed folder's absolute path.

    Raises:
        UserError: if nothing was typed.
    """
    text = typed.strip()
    if not text:
        raise UserError("Choose a data set, or type the path of a folder of images.")
    return text if text in (*BUILTIN, *BENCHMARKS) else str(Path(text).expanduser().resolve())


def data_label(choice: str) -> str:
    """Returns what the choice of data sets shows: of an uploaded set its name, not its path."""
    path = Path(choice)
    return f"{path.name} (uploaded)" if path.parent == data_root() / UPLOADS else choice


def with_backbone(config: TrainConfig, backbone: str) -> TrainConfig:
    """Returns the method's preset for a CLIP, with data, shots, seed and classes as they are.

    Raises:
        UserError: for a CLIP that cannot be loaded, as its name alone tells.
    """
    check_backbone_name(backbone)
    return replace(
        preset(config.method, backbone),
        data=config.data,
        shots=config.shots,
        seed=config.seed,
        classes=config.classes,
    )


def with_groups(config: TrainConfig, groups: Groups, usual: Groups) -> TrainConfig:
    """Returns the settings with groups of templates, which are not named if they are usual.

    Raises:
        UserError: for fewer groups than experts per image.
    """
    return config if groups == usual else replace(config, groups=groups)


def check_together(config: TrainConfig, dataset: Dataset) -> Size:
    """Returns how much would be trained and tested.

    Raises:
        UserError: for settings that do not fit the data set.
    """
    groups = expert_groups(config, dataset.templates)
    config.check_num_chosen(len(groups))
    train, val = few_shot_items(config, dataset)
    if config.method == "linear-probe" and not val:
        raise UserError(
            f"The linear probe is tuned on validation images, and {dataset.name} has none for "
            "it. Add some to the data, or choose Tip-Adapter, which can do without."
        )
    names = dataset.class_names
    return Size(
        len(class_range(config.classes, len(names))),
        len(names),
        len(groups),
        len(train),
        len(val),
        len(dataset.items("test")),
    )


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

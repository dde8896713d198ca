"""The model card of the small CLIP of scenes: what it was trained on, and what it can do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

from open_clip.model import CLIP

from mocoop.clip.backbone import Backbone, load_backbone
from mocoop.small_clip.evaluation import Cell, role_accuracy, scene_interaction
from mocoop.small_clip.icons import SIZES, icon_accuracy, other_icons, own_icons
from mocoop.small_clip.snapshot import NOTE
from mocoop.storage.atomic import write_json, write_text
from mocoop.world.layers import GROUNDS
from mocoop.world.roles import ROLES
from mocoop.world.styles import STYLES
from mocoop.world.things import every_thing

CELL_SCENES = 30  # unseen scenes of each role, style and ground


def write_card(folder: Path, remark: str = "") -> Path:
    """Measures the small CLIP in a folder and writes its model card and all numbers.

    Args:
        folder: with the weights, and what their training wrote down.
        remark: sentences about how long the training takes elsewhere.

    Returns:
        The card's path; the numbers lie beside it in accuracy.json.
    """
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    backbone = load_backbone(str(folder))
    assert isinstance(backbone.model, CLIP)
    cells = role_accuracy(backbone.model, CELL_SCENES)
    shares = scene_interaction(backbone.model)
    icons = _icons(backbone)
    width = note["settings"]["width"]
    size = sum(parameter.numel() for parameter in backbone.model.parameters()) / 1e6
    numbers = {
        "cells": [asdict(cell) for cell in cells],
        "interaction": asdict(shares),
        "icons": icons,
        "training": note,
    }
    write_json(folder / "accuracy.json", numbers)
    sides = " | ".join(f"{side} px" for side in SIZES)
    settings = ", ".join(
        f"{key} {value}" for key, value in note["settings"].items() if value != ""
    )
    text = f"""# The small CLIP of scenes

An open_clip `CLIP` of {size:.1f} M parameters (64 px, patch 8, width {width}, \
CLIP's own byte-pair tokenizer), weights in fp16. It knows drawn scenes and nothing else of the \
world: {len(every_thing())} things in {len(ROLES)} roles, {len(STYLES)} styles and on \
{len(GROUNDS)} grounds.

**Data.** Drawn by `mocoop.world` while training, easy setting. A scene holds up to three things, \
each in a role; captions name role, style and ground, or leave them open. Glyphs come from the \
icon font Material Design Icons 7 (Apache-2.0) and from fonts that matplotlib installs. The \
handwritten digits are never seen.

**Command.** `mocoop demo-clip` ({note["steps"]:,} steps; {settings}).

**Time.** {_time(note)}{remark}

**Unseen easy scenes** of two or three things, percent right zero-shot among all \
{len(every_thing())} names, {CELL_SCENES} scenes for each role, style and ground \
({len(cells) * CELL_SCENES:,} in all). *By role* asks with the role's template, such as "a photo \
of a small cat.", *plain* with "a photo of a cat."

{_role_table(cells)}
By role's template, percent:

{_table(cells, STYLES, "style")}
{_table(cells, GROUNDS, "ground")}
**Interaction.** {shares.interaction:.1f} % of the variance of the text features depends on \
context and name together (name alone {shares.name:.1f} %, context alone {shares.context:.1f} %): \
hard templates of all roles and styles, names of all everyday things.

**Icons**, black on white or transparent, as uploaded files; percent recognised with the plain \
template among the names of all everyday things. *Another font* is Font Awesome 6, which was \
never seen: the icon of the same name, nothing tuned.

| icons | ground | {sides} |
|---|---|{"---:|" * len(SIZES)}
{_icon_rows(icons)}"""
    write_text(folder / "README.md", text)
    return folder / "README.md"


def _icons(backbone: Backbone) -> list[dict[str, Any]]:
    """Returns how many icons are recognised, by font, ground and size."""
    fonts = {"own font": own_icons()}
    if find_spec("fonticon_fa6") is not None:
        fonts["another font"] = other_icons()
    return [
        {
            "font": font,
            "icons": len(masks),
            "ground": ground,
            "by_size": {
                side: icon_accuracy(backbone, masks, side, ground == "transparent")
                for side in SIZES
            },
        }
        for font, masks in fonts.items()
        for ground in ("white", "transparent")
    ]


def _icon_rows(icons: Sequence[dict[str, Any]]) -> str:
    """Returns the lines of the icons' table."""
    return "".join(
        f"| {row['icons']} of its {row['font']} | {row['ground']} | "
        + " | ".join(f"{value:.1f}" for value in row["by_size"].values())
        + " |\n"
        for row in icons
    ).replace("its another", "another")


def _role_table(cells: Sequence[Cell]) -> str:
    """Returns the accuracies of every role, in Markdown."""
    rows = ["| role | by role | plain | worst style by role |\n|---|---:|---:|---|\n"]
    for role in ROLES:
        mine = [cell for cell in cells if cell.role == role]
        by_role, plain = fmean(c.by_role for c in mine), fmean(c.plain for c in mine)
        styles = {s: fmean(c.by_role for c in mine if c.style == s) for s in STYLES}
        worst = min(styles, key=lambda style: styles[style])
        rows.append(f"| {role} | {by_role:.1f} | {plain:.1f} | {worst}, {styles[worst]:.1f} |\n")
    by_role, plain = fmean(c.by_role for c in cells), fmean(c.plain for c in cells)
    rows.append(f"| **mean** | {by_role:.1f} | {plain:.1f} | |\n")
    return "".join(rows)


def _table(cells: Sequence[Cell], values: Sequence[str], name: str) -> str:
    """Returns the accuracies by role and style, or by role and ground, in Markdown."""
    rows = [f"| {name} | {' | '.join(ROLES)} | mean |\n|---|{'---:|' * (len(ROLES) + 1)}\n"]
    for value in values:
        mine = [cell for cell in cells if getattr(cell, name) == value]
        by_role = [fmean(c.by_role for c in mine if c.role == role) for role in ROLES]
        shown = " | ".join(f"{accuracy:.1f}" for accuracy in (*by_role, fmean(by_role)))
        rows.append(f"| {value} | {shown} |\n")
    return "".join(rows)


def _time(note: dict[str, Any]) -> str:
    """Returns how long the training took, as measured."""
    settings = note["settings"]
    pictures = note["steps"] * settings["batch_size"]
    cores = f", {note['threads']} threads" if note["device"] == "CPU" else ""
    return (
        f"{note['seconds'] / 60:.1f} minutes for {pictures / 1e6:.2f} M pictures on "
        f"{note['device']}{cores}, drawn by {settings['workers']} other process(es)."
    )

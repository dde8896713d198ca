"""What the small CLIP of scenes knows of pictures that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP

from mocoop.analysis.interaction import Shares, interaction_shares
from mocoop.clip.text_tower import TextTower
from mocoop.small_clip.model import normalised
from mocoop.small_clip.pictures import Artist
from mocoop.world.captions import PLAIN, scene_templates
from mocoop.world.layers import GROUNDS
from mocoop.world.roles import ROLES
from mocoop.world.styles import STYLES
from mocoop.world.things import everyday

_SEED = 977  # of the scenes that are never trained on


@dataclass(frozen=True)
class Cell:
    """How well one role is told in one style on one ground."""

    role: str
    style: str
    ground: str
    scenes: int
    by_role: float
    """Percent right with the role's template."""
    plain: float
    """Percent right with the plain template."""


@torch.no_grad()
def role_accuracy(
    model: CLIP,
    scenes: int,
    seed: int = 0,
    styles: Sequence[str] = STYLES,
    grounds: Sequence[str] = GROUNDS,
) -> list[Cell]:
    """Returns zero-shot accuracies on unseen easy scenes of two or three things.

    The name of the thing in the role is chosen among all names that the small CLIP knows.

    Args:
        model: in evaluation mode or not; it is left as it was.
        scenes: of each role, style and ground.
        seed: of the scenes.
        styles: which styles.
        grounds: which grounds.
    """
    was_training = model.training
    model.eval()
    device = model.logit_scale.device
    artist = Artist()
    names = [thing.name for thing in artist.things]
    tower = TextTower.from_model(model, open_clip.SimpleTokenizer())
    plain = tower.encode_template(PLAIN, names)
    groups = scene_templates().groups
    cells = []
    for number, role in enumerate(ROLES):
        by_role = tower.encode_template(groups[role][0], names)
        for style in styles:
            for ground in grounds:
                code = (_SEED, seed, number, STYLES.index(style), GROUNDS.index(ground))
                rng = np.random.default_rng(code)
                drawn = [artist.draw_role(role, style, ground, rng) for _ in range(scenes)]
                truth = torch.tensor([int(d.things[0, number]) for d in drawn])
                pixels = np.concatenate([d.pixels for d in drawn])
                features = model.encode_image(normalised(pixels, device)).float()
                right = [
                    100 * ((features @ text.T).argmax(dim=1).cpu() == truth).float().mean().item()
                    for text in (by_role, plain)
                ]
                cells.append(Cell(role, style, ground, scenes, *right))
    model.train(was_training)
    return cells


def quick_accuracy(model: CLIP, scenes: int) -> dict[str, float]:
    """Returns accuracies in percent, the mean over styles and grounds.

    `role/by_role` and `role/plain` are those of a role, `by_role` is the mean of all roles.
    """
    per_cell = max(1, scenes // (len(STYLES) * len(GROUNDS)))
    cells = role_accuracy(model, per_cell, seed=1)
    found = {"by_role": float(np.mean([cell.by_role for cell in cells]))}
    for role in ROLES:
        mine = [cell for cell in cells if cell.role == role]
        found[f"{role}/by_role"] = float(np.mean([cell.by_role for cell in mine]))
        found[f"{role}/plain"] = float(np.mean([cell.plain for cell in mine]))
    return found


def scene_interaction(model: CLIP) -> Shares:
    """Returns how much of the text features depends on context and name together.

    Over the hard templates of all roles and styles, and the names of everyday things.
    """
    tower = TextTower.from_model(model, open_clip.SimpleTokenizer())
    names = [thing.name for thing in everyday()]
    return interaction_shares(tower, scene_templates().groups, names)

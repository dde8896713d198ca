"""The built-in sets of scenes: drawn when asked for, each picture from its own seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from numpy.random import Generator
from PIL import Image

from mocoop.datasets.base import SPLITS, Dataset, Item
from mocoop.datasets.builtin_cards import RULES, Card, Rule
from mocoop.datasets.splits import base_size, random_split
from mocoop.errors import choose_from
from mocoop.world.captions import scene_templates
from mocoop.world.fonts import Mask
from mocoop.world.layers import GROUNDS
from mocoop.world.roles import LAYOUTS
from mocoop.world.scenes import EASY, HARD, UPRIGHT, Difficulty, Painter, Scene, as_image
from mocoop.world.styles import STYLES
from mocoop.world.things import Thing, find_things, pictograph_glyphs

BUILTIN = ("albums", "details", "things", "halves", "faces", "digits", "pictographs")
"""In the order of menus; the first is the default."""
PROMPTS_MATTER = ("albums", "details", "halves", "things")
"""The sets in which the words around the name decide what is right."""
EASY_SUFFIX = "-easy"

_VERSION = 2  # of the drawings: raise it whenever a picture of the same recipe changes
_SET_CODES = {name: 201 + place for place, name in enumerate(RULES)}
_SPLIT_CODES = {split: 1 + place for place, split in enumerate(SPLITS)}
_GROUND_SHARES = (0.6, 0.2, 0.2)  # of GROUNDS


@dataclass(frozen=True)
class SceneItem(Item):
    """A drawn picture, with all that is known of it."""

    role: str = ""
    """Of the labelled thing."""
    things: tuple[tuple[str, str], ...] = ()
    """Role and name of everything in the picture."""
    ground: str = GROUNDS[0]
    scan: int | None = None
    """Which handwritten digit the labelled thing is, in the set of digits."""


@dataclass(frozen=True)
class SceneDataset(Dataset):
    """A set whose pictures are drawn when asked for.

    An item's id is its whole recipe: split, class, style and number; pictures of different
    splits never share a seed, and handwritten digits never share a scan.
    """

    difficulty: Difficulty = HARD
    card: Card = field(default_factory=lambda: RULES["things"].card)
    glyphs: Mapping[str, Thing] = field(default_factory=dict, repr=False, compare=False)
    painter: Painter = field(default_factory=Painter, repr=False, compare=False)
    scans: np.ndarray | None = field(default=None, repr=False, compare=False)

    def image(self, item: Item) -> Image.Image:
        """Returns the drawing of an item, 64 px square."""
        if not isinstance(item, SceneItem):
            item = self._items[item.id]
        things = {role: self.glyphs[name] for role, name in item.things}
        scene = Scene(things, item.style or STYLES[0], item.ground)
        masks = {} if item.scan is None else {item.role: self._scan(item.scan)}
        rng = np.random.default_rng(_recipe(self.name, item))
        return as_image(self.painter.draw(scene, self.difficulty, rng, masks))

    @cached_property
    def _items(self) -> dict[str, SceneItem]:
        """Id → item, with all that is known of it."""
        return {
            item.id: item
            for split in self.splits.values()
            for item in split
            if isinstance(item, SceneItem)
        }

    def content_key(self, item: Item) -> str:
        """Returns the recipe of the drawing with the drawings' version."""
        return f"{self.name} v{_VERSION} {self.difficulty} {item.id}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the set teaches."""
        return (self.card.label, self.card.could, self.card.could_not)

    def _scan(self, place: int) -> Mask:
        """Returns a handwritten digit as a mask."""
        assert self.scans is not None
        grey = Image.fromarray((self.scans[place] / 16.0 * 255.0).astype(np.uint8))  # 8 px
        smooth = grey.resize((64, 64), Image.Resampling.BICUBIC)
        # Steepen the blurred edges of the 8 px scan into strokes.
        return Mask.of(smooth.point(lambda v: max(0, min(255, int((v - 70) * 2.2)))))


def is_builtin(name: str) -> bool:
    """Returns whether a built-in set has this name, in the hard or the easy setting."""
    return name.removesuffix(EASY_SUFFIX) in BUILTIN


@cache
def load_builtin(name: str) -> SceneDataset:
    """Returns the built-in set of scenes called `name`.

    Args:
        name: one of `BUILTIN`, in the hard setting; with `-easy` after it in the easy one, which
            is what the small CLIP was trained on.

    Raises:
        UserError: for another name.
    """
    kind = name.removesuffix(EASY_SUFFIX)
    if kind not in RULES:
        raise choose_from("built-in set", name, BUILTIN)
    rule = RULES[kind]
    glyphs = {thing.name: thing for thing in find_things(rule.classes)}
    scans = None
    if kind == "pictographs":
        glyphs = {
            label: Thing(label, glyphs[label].plural, glyphs[label].field, (glyph,))
            for label, glyph in pictograph_glyphs().items()
        }
    hand: Sequence[Mapping[str, Sequence[int]]] = ()
    if kind == "digits":
        scans, hand = _handwriting()
    splits = {
        split: tuple(
            item
            for label in range(len(rule.classes))
            for item in _items(kind, rule, split, label, hand)
        )
        for split in SPLITS
    }
    difficulty = EASY if name != kind else UPRIGHT if rule.upright else HARD
    templates = scene_templates(rule.group_roles, rule.group_styles)
    return SceneDataset(
        name, rule.classes, dict(splits), templates, difficulty, rule.card, glyphs, scans=scans
    )


def _items(
    kind: str,
    rule: Rule,
    split: str,
    label: int,
    hand: Sequence[Mapping[str, Sequence[int]]],
) -> list[SceneItem]:
    """Returns the items of a class in a split."""
    count = rule.counts[SPLITS.index(split)]
    scans = hand[label][split] if hand else None
    if scans is not None:
        count = min(count, len(scans)) if split != "test" else len(scans)
    found = []
    name = rule.classes[label]
    # One generator for the class: what its pictures show is laid down in turn.
    rng = np.random.default_rng((_VERSION, _SET_CODES[kind], _SPLIT_CODES[split], label))
    for number, style in enumerate(_styles(rule, label, count)):
        role = rule.roles[style][int(rng.integers(len(rule.roles[style])))]
        layout = (role,) if rule.alone else _layout(role, rng)
        ground = GROUNDS[int(np.searchsorted(np.cumsum(_GROUND_SHARES), rng.random()))]
        others = rng.permutation(len(rule.classes))
        rest = [rule.classes[i] for i in others if i != label]
        things = tuple((r, name if r == role else rest.pop()) for r in layout)
        scan = None if scans is None else int(scans[number])
        key = f"{split}/{name}/{style}/{number}"
        found.append(SceneItem(key, label, style, role, things, ground, scan))
    return found


def _styles(rule: Rule, label: int, count: int) -> list[str]:
    """Returns the styles of a class's pictures in a split, in turn or by the half's shares."""
    styles = list(rule.roles)
    base = label < base_size(len(rule.classes))
    shares = rule.base_styles if base else rule.new_styles
    if not shares:
        return [styles[(label + number) % len(styles)] for number in range(count)]
    numbers = [round(shares[style] * count) for style in styles[1:]]
    return [
        style
        for style, number in zip(styles, [count - sum(numbers), *numbers], strict=True)
        for _ in range(number)
    ]


def _layout(role: str, rng: Generator) -> tuple[str, ...]:
    """Returns roles that come together, among them the given one."""
    fitting, ends = _layouts(role)
    place = int(np.searchsorted(ends, rng.random() * ends[-1]))
    return fitting[min(place, len(fitting) - 1)]


@cache
def _layouts(role: str) -> tuple[tuple[tuple[str, ...], ...], np.ndarray]:
    """Returns the layouts in which a role occurs, and the running sum of their weights."""
    fitting = {layout: weight for layout, weight in LAYOUTS.items() if role in layout}
    return tuple(fitting), np.cumsum(list(fitting.values()))


def _recipe(name: str, item: Item) -> tuple[int, ...]:
    """Returns the numbers that an item's picture is drawn from; the settings share them."""
    split, _, style, number = item.id.split("/")
    code = _SET_CODES[name.removesuffix(EASY_SUFFIX)]
    return (
        _VERSION, code, _SPLIT_CODES[split], item.label, STYLES.index(style), int(number)
    )  # fmt: skip


def _handwriting() -> tuple[np.ndarray, list[dict[str, list[int]]]]:
    """Returns scikit-learn's 1,797 digits (8 × 8), and label → split → which of them."""
    from sklearn.datasets import load_digits  # here: slow to import, and for this set alone

    scans = load_digits()
    labels = [int(label) for label in scans.target]
    parts = dict(zip(SPLITS, random_split(labels, seed=1), strict=True))
    by_label = [
        {split: [i for i in part if labels[i] == label] for split, part in parts.items()}
        for label in range(10)
    ]
    return scans.images, by_label

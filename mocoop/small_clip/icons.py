"""Icons as people upload them: black on white or transparent, of any size, of two fonts."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from importlib.util import find_spec

import torch
from PIL import Image

from mocoop.clip.backbone import Backbone
from mocoop.errors import UserError
from mocoop.storage.images import open_image
from mocoop.world.captions import PLAIN
from mocoop.world.fonts import FontBook, Mask
from mocoop.world.things import everyday

SIZES = (48, 64, 128, 256, 512)  # pixels, the sides of uploaded icons
MARGIN = 0.08  # of the side, on every side of the icon
OTHER_PACKAGE = "fonticon-fontawesome6"

# The same things in another icon font. Not tuned: the icon whose name is the thing's.
OTHER_FONT = {
    "airplane": "plane", "anchor": "anchor", "apple": "apple_whole", "basketball": "basketball",
    "bathtub": "bath", "bed": "bed", "bell": "bell", "bicycle": "bicycle", "bone": "bone",
    "book": "book_open", "bowling ball": "bowling_ball", "bread": "bread_slice", "bus": "bus",
    "cake": "cake_candles", "camera": "camera", "car": "car", "carrot": "carrot", "cat": "cat",
    "chair": "chair", "cheese": "cheese", "chess knight": "chess_knight",
    "chili pepper": "pepper_hot", "church": "church", "clock": "clock", "cloud": "cloud",
    "clover": "clover", "coffee cup": "mug_saucer", "cookie": "cookie", "cow": "cow",
    "crown": "crown", "dice": "dice_five", "dog": "dog", "egg": "egg", "envelope": "envelope",
    "feather": "feather", "ferry": "ferry", "fire": "fire", "fish": "fish",
    "football": "football", "ghost": "ghost", "gift": "gift", "glasses": "glasses",
    "golf flag": "golf_ball_tee", "guitar": "guitar", "hamburger": "burger",
    "hammer": "hammer", "hat": "hat_cowboy", "heart": "heart", "helicopter": "helicopter",
    "horse": "horse", "hot dog": "hotdog", "house": "house", "ice cream": "ice_cream",
    "key": "key", "laptop": "laptop", "leaf": "leaf", "light bulb": "lightbulb",
    "lightning": "bolt_lightning", "lock": "lock", "magnet": "magnet", "moon": "moon",
    "motorbike": "motorcycle", "music note": "music", "paint brush": "paintbrush", "paw": "paw",
    "pencil": "pencil", "pizza": "pizza_slice", "puzzle": "puzzle_piece", "robot": "robot",
    "rocket": "rocket", "sailboat": "sailboat", "scissors": "scissors",
    "screwdriver": "screwdriver", "shirt": "shirt", "skull": "skull", "snowflake": "snowflake",
    "snowman": "snowman", "soccer ball": "futbol", "sofa": "couch", "spider": "spider",
    "star": "star", "sun": "sun", "telephone": "phone", "television": "tv",
    "tractor": "tractor", "train": "train", "tram": "train_tram", "tree": "tree",
    "trophy": "trophy", "truck": "truck", "umbrella": "umbrella", "water drop": "droplet",
    "wine glass": "wine_glass", "wrench": "wrench",
}  # fmt: skip


def icon_file(mask: Mask, side: int, transparent: bool) -> bytes:
    """Returns a PNG file of a black icon.

    Args:
        mask: the icon's shape.
        side: of the picture, in pixels.
        transparent: whether the ground is transparent, and white otherwise.
    """
    inner = max(1, round(side * (1 - 2 * MARGIN)))
    shape = mask.at(inner).resize((inner, inner), Image.Resampling.LANCZOS)
    cover = Image.new("L", (side, side), 0)
    cover.paste(shape, ((side - inner) // 2, (side - inner) // 2))
    black = Image.new("RGB", (side, side), "black")
    if transparent:
        black.putalpha(cover)
    else:
        black = Image.composite(black, Image.new("RGB", (side, side), "white"), cover)
    written = io.BytesIO()
    black.save(written, "PNG")
    return written.getvalue()


def own_icons() -> dict[str, Mask]:
    """Returns the usual glyph of every everyday thing, by name."""
    book = FontBook()
    return {thing.name: book.mask(thing.glyphs[0]) for thing in everyday()}


def other_icons() -> dict[str, Mask]:
    """Returns things in an icon font that the small CLIP has never seen, by name.

    Raises:
        UserError: if that font's package is missing.
    """
    if find_spec("fonticon_fa6") is None:
        raise UserError(
            f"Measuring with another icon font needs its package. Install it with: pip install "
            f"{OTHER_PACKAGE}."
        )
    table = importlib.import_module("fonticon_fa6").FA6S
    book = FontBook({OTHER_PACKAGE: table.__font_file__})
    # The package puts the font's name before the character.
    return {
        name: book.mask((OTHER_PACKAGE, getattr(table, icon)[-1]))
        for name, icon in OTHER_FONT.items()
    }


@torch.no_grad()
def icon_accuracy(
    backbone: Backbone, icons: Mapping[str, Mask], side: int, transparent: bool
) -> float:
    """Returns the share of icons that are recognised, in percent.

    Zero-shot with the plain template, among the names of all everyday things; every icon goes
    the whole way of an uploaded file.

    Args:
        backbone: the small CLIP.
        icons: name → shape.
        side: of the pictures, in pixels.
        transparent: whether their ground is transparent, and white otherwise.
    """
    names = [thing.name for thing in everyday()]
    text = backbone.text.encode_template(PLAIN, names)
    pictures = [
        backbone.transform(open_image(icon_file(mask, side, transparent), name)[0])
        for name, mask in icons.items()
    ]
    features = backbone.image_features(torch.stack(pictures))
    truth = torch.tensor([names.index(name) for name in icons])
    return 100.0 * ((features @ text.T).argmax(dim=1).cpu() == truth).float().mean().item()

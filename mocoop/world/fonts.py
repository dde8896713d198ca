"""Glyphs as masks: from the icon font package and from the fonts that matplotlib installs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from mocoop.errors import UserError, choose_from
from mocoop.world.things import ICONS, Glyph

PACKAGE = "fonticon-materialdesignicons7"
VERSION = "7.2.96"
# Pixels, the sides of a mask's copies. Each is at most half as large again as the one below, so
# that a glyph of any size is made from one that is hardly larger, which keeps its edges smooth.
MASK_SIZES = (128, 96, 64, 48, 32, 24, 16)
_RASTER = 160  # pixels, the size at which a font draws a glyph


@dataclass(frozen=True)
class Mask:
    """A glyph's shape, cropped and centred on a square, in several sizes."""

    copies: tuple[Image.Image, ...]

    @classmethod
    def of(cls, picture: Image.Image) -> Mask:
        """Returns the mask of a greyscale picture in which the shape is light.

        Raises:
            UserError: for a picture without any shape.
        """
        box = picture.getbbox()
        if box is None:
            raise UserError("Expected a glyph with at least one pixel, got an empty picture.")
        cropped = picture.crop(box)
        side = max(cropped.size)
        square = Image.new("L", (side, side), 0)
        square.paste(cropped, ((side - cropped.width) // 2, (side - cropped.height) // 2))
        return cls(tuple(square.resize((n, n), Image.Resampling.LANCZOS) for n in MASK_SIZES))

    def at(self, side: float) -> Image.Image:
        """Returns the smallest copy that is at least `side` pixels wide, or the largest."""
        fitting = [copy for copy in self.copies if copy.width >= side]
        return fitting[-1] if fitting else self.copies[0]


class FontBook:
    """Masks of glyphs; each font is opened once and each glyph drawn once.

    Args:
        others: name → file of fonts beside the usual ones.
    """

    def __init__(self, others: Mapping[str, str] | None = None) -> None:
        self._others = dict(others or {})
        self._faces: dict[str, ImageFont.FreeTypeFont] = {}
        self._masks: dict[Glyph, Mask] = {}

    def mask(self, glyph: Glyph) -> Mask:
        """Returns a glyph's mask.

        Raises:
            UserError: if the icon font is missing, is of another version, or lacks the icon.
        """
        if glyph not in self._masks:
            font, name = glyph
            character = icon_character(name) if font == ICONS else name
            if font not in self._faces:
                self._faces[font] = ImageFont.truetype(self._file(font), _RASTER)
            self._masks[glyph] = Mask.of(_raster(self._faces[font], character))
        return self._masks[glyph]

    def _file(self, font: str) -> str:
        """Returns the path of a font."""
        if font in self._others:
            return self._others[font]
        return str(icon_font() if font == ICONS else _installed_font(font))


def icon_font(installed: Callable[[str], str] = version) -> Path:
    """Returns the file of the icon font.

    Args:
        installed: returns the version of an installed package.

    Raises:
        UserError: if its package is missing, or is of another version than the one whose
            pictures the small CLIP has seen.
    """
    advice = f"Install it with: pip install {PACKAGE}=={VERSION}."
    try:
        found = installed(PACKAGE)
    except PackageNotFoundError as error:
        raise UserError(f"The drawn scenes need the icon font {PACKAGE}. {advice}") from error
    if found != VERSION:
        raise UserError(
            f"Expected {PACKAGE} {VERSION}, got {found}: another version draws other pictures "
            f"than the small CLIP has seen. {advice}"
        )
    return Path(_icons().__font_file__)


def icon_character(name: str) -> str:
    """Returns the character of an icon.

    Raises:
        UserError: if the font has no icon of this name.
    """
    table = _icons()
    known = [key for key in vars(table) if not key.startswith("_")]
    if name not in known:
        raise UserError(str(choose_from("icon", name, known)).partition(": expected")[0] + ".")
    return str(getattr(table, name))


def _icons() -> Any:
    """Returns the icon font's class, whose attributes are its characters by name."""
    return importlib.import_module("fonticon_mdi7").MDI7


def _installed_font(font: str) -> Path:
    """Returns the file of a font that matplotlib installs."""
    found = find_spec("matplotlib")  # found without importing it, which takes a while
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name("mpl-data") / "fonts" / "ttf" / f"{font}.ttf"


def _raster(face: ImageFont.FreeTypeFont, character: str) -> Image.Image:
    """Returns a character in white on black, with room around it."""
    canvas = Image.new("L", (3 * _RASTER, 2 * _RASTER), 0)
    middle = (1.5 * _RASTER, float(_RASTER))
    ImageDraw.Draw(canvas).text(middle, character, font=face, fill=255, anchor="mm")
    return canvas

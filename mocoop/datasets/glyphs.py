"""The character of the DejaVu fonts that is drawn for each class name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mocoop.datasets.drawing import Shape

PICTOGRAPHS = {
    "airplane": "✈",
    "anchor": "⚓",
    "ankh": "☥",
    "arrow": "➡",
    "atom": "⚛",
    "balance scale": "⚖",
    "biohazard sign": "☣",
    "checkmark": "✔",
    "cloud": "☁",
    "clover": "☘",
    "coffee cup": "☕",
    "coffin": "⚰",
    "comet": "☄",
    "crescent moon": "☽",
    "cross": "✝",
    "eject button": "⏏",
    "electric bolt": "⚡",
    "envelope": "✉",
    "female sign": "♀",
    "flag": "⚑",
    "fleur de lis": "⚜",
    "flower": "✿",
    "fountain pen": "✒",
    "gear": "⚙",
    "hammer and pick": "⚒",
    "hammer and sickle": "☭",
    "heart": "❤",
    "hot spring": "♨",
    "house": "⌂",
    "keyboard": "⌨",
    "male sign": "♂",
    "music note": "♪",
    "peace sign": "☮",
    "pencil": "✏",
    "pointing hand": "☞",
    "radiation sign": "☢",
    "recycling sign": "♻",
    "scissors": "✂",
    "sharp sign": "♯",
    "ship wheel": "☸",
    "skull": "☠",
    "snake staff": "⚕",
    "snowflake": "❄",
    "snowman": "☃",
    "star": "★",
    "still": "⚗",
    "sun": "☀",
    "swords": "⚔",
    "tape reel": "✇",
    "telephone": "☎",
    "thunderstorm": "☈",
    "umbrella": "☂",
    "urn": "⚱",
    "victory hand": "✌",
    "warning sign": "⚠",
    "wheelchair": "♿",
    "writing hand": "✍",
    "yin yang": "☯",
}

FACES = {
    "angry face": "\U0001f620",
    "astonished face": "\U0001f632",
    "cat face": "\U0001f431",
    "confounded face": "\U0001f616",
    "cow face": "\U0001f42e",
    "crying face": "\U0001f62d",
    "devil face": "\U0001f608",
    "dizzy face": "\U0001f635",
    "expressionless face": "\U0001f611",
    "face with halo": "\U0001f607",
    "face with mask": "\U0001f637",
    "face with sunglasses": "\U0001f60e",
    "face with tongue out": "\U0001f61b",
    "frowning face": "☹",
    "grinning face": "\U0001f601",
    "heart eyes face": "\U0001f60d",
    "kissing face": "\U0001f618",
    "laughing face": "\U0001f606",
    "monkey face": "\U0001f435",
    "mouse face": "\U0001f42d",
    "screaming face": "\U0001f631",
    "sleeping face": "\U0001f634",
    "smiling face": "☺",
    "winking face": "\U0001f609",
}

GAMES = {
    "black bishop": "♝",
    "black king": "♚",
    "black knight": "♞",
    "black pawn": "♟",
    "black queen": "♛",
    "black rook": "♜",
    "club suit": "♣",
    "diamond suit": "♦",
    "dice five": "⚄",
    "dice four": "⚃",
    "dice one": "⚀",
    "dice six": "⚅",
    "dice three": "⚂",
    "dice two": "⚁",
    "draughts king": "⛁",
    "draughts man": "⛀",
    "heart suit": "♥",
    "joker card": "\U0001f0cf",
    "spade suit": "♠",
    "white bishop": "♗",
    "white king": "♔",
    "white knight": "♘",
    "white pawn": "♙",
    "white queen": "♕",
    "white rook": "♖",
}

DIGITS = {
    name: str(value)
    for value, name in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    )
}

DIGIT_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralItalic",
    "cmr10",
    "cmss10",
    "cmtt10",
)


def glyph(character: str, font: str = "DejaVuSans") -> Shape:
    """Returns the shape of one character, in a font that is part of matplotlib."""
    installed = find_spec("matplotlib")  # finds matplotlib without importing it, which is slow
    assert installed is not None
    assert installed.origin is not None
    path = Path(installed.origin).with_name("mpl-data") / "fonts" / "ttf" / f"{font}.ttf"
    face = ImageFont.truetype(str(path), 160)
    canvas = Image.new("L", (480, 320), 0)
    ImageDraw.Draw(canvas).text((240, 160), character, font=face, fill=255, anchor="mm")
    return Shape.from_mask(canvas)

"""What scenes are made of: everyday things, symbols, faces and digits, each with its glyphs."""

from __future__ import annotations

from dataclasses import dataclass

from mocoop.errors import choose_from
from mocoop.world.glyphs import DIGIT_FONTS, DIGITS, FACES, PICTOGRAPHS

ICONS = "icons"
"""The icon font; any other font of a glyph is one that matplotlib installs."""
DEJAVU = "DejaVuSans"

Glyph = tuple[str, str]  # font, and the icon's name or the character


@dataclass(frozen=True)
class Thing:
    """Something that has a name and can be drawn."""

    name: str
    """As a child would say it."""
    plural: str
    field: str
    """What kind of thing it is."""
    glyphs: tuple[Glyph, ...]
    """Its shapes; the first is the usual one."""


# Field → lines of `name/plural: icon, another icon, character of DejaVu Sans`. The plural is left
# out where it is regular, and the icon where its name is the thing's.
_EVERYDAY = {
    "animals": """
        bee
        bird
        butterfly/butterflies
        cat: cat, \U0001f431
        cow: cow, \U0001f42e
        dog
        dolphin
        donkey
        duck
        elephant
        fish/fish
        horse
        jellyfish/jellyfish
        ladybug
        mouse/mice: rodent, \U0001f42d
        owl
        panda
        penguin
        pig
        rabbit
        shark
        sheep/sheep
        snail
        snake
        spider
        teddy bear
        turtle: turtle, tortoise
        unicorn: unicorn_variant
    """,
    "vehicles": """
        airplane: airplane, ✈
        bicycle
        bus/buses
        car
        ferry/ferries
        helicopter
        hot air balloon: airballoon
        motorbike
        rocket
        sailboat: sail_boat
        scooter
        submarine
        tractor
        train
        tram
        truck
    """,
    "food": """
        apple: food_apple
        baguette
        bread/slices of bread: bread_slice
        cake
        candy/candies
        carrot
        cheese/pieces of cheese
        cherry/cherries: fruit_cherries
        chili pepper: chili_mild
        coffee cup: coffee, ☕
        cookie
        corn/ears of corn
        croissant: food_croissant
        cupcake
        egg
        grapes/grapes: fruit_grapes
        hamburger
        hot dog: food_hot_dog
        ice cream/ice creams: ice_cream
        mushroom
        noodles/bowls of noodles
        pineapple: fruit_pineapple
        pizza
        watermelon: fruit_watermelon
        wine glass/wine glasses: glass_wine
    """,
    "music": """
        bell
        guitar: guitar_acoustic
        music note: music_note, ♪
        piano
        saxophone
        trumpet
        violin
    """,
    "tools": """
        axe
        hammer
        key
        lock
        magnet
        paint brush/paint brushes: brush
        pencil: pencil, ✏
        saw blade
        scissors/scissors: content_cut, ✂
        screwdriver
        shovel
        wrench/wrenches
    """,
    "home": """
        bathtub
        bed
        book: book_open_variant
        camera
        candle
        chair: chair_rolling
        clock
        crown
        envelope: email, ✉
        fridge
        glasses/glasses
        hat: hat_fedora
        kettle
        lamp
        laptop
        light bulb: lightbulb
        microwave
        oven: stove
        pot
        shirt: tshirt_crew
        shoe: shoe_sneaker
        sofa
        telephone: phone, ☎
        television
        umbrella: umbrella, ☂
        watch/watches
    """,
    "sky and land": """
        cactus/cacti
        castle
        church/churches
        cloud: cloud, ☁
        clover: clover, ☘
        feather
        fire
        flower: flower, ✿
        house: home, ⌂
        leaf/leaves
        lighthouse
        lightning/flashes of lightning: flash, ⚡
        moon: moon_waning_crescent, ☽
        palm tree
        pine tree
        snowflake: snowflake, ❄
        snowman/snowmen: snowman, ☃
        star: star, ★
        sun: white_balance_sunny, ☀
        tree
        water drop: water
    """,
    "games": """
        anchor: anchor, ⚓
        balloon
        basketball
        bone
        bowling ball: bowling
        chess knight: chess_knight, ♞
        dice/dice: dice_5, ⚄
        football
        ghost
        gift
        golf flag: golf
        heart: heart, ❤
        kite
        paw
        pumpkin
        puzzle: puzzle
        robot
        skull: skull, ☠
        soccer ball: soccer
        tennis racket: tennis
        trophy/trophies
        ufo
    """,
}
# Names of pictographs that are everyday things above, by the name that they have there.
_SAME = {
    "crescent moon": "moon",
    "electric bolt": "lightning",
}
_SIGN_PLURALS = {"fleur de lis": "fleurs de lis", "swords": "swords"}
# Signs whose glyph is not clear, or that are better not in a child's picture.
_LEFT_OUT = ("hammer and sickle", "keyboard", "tape reel", "writing hand", "thunderstorm")
# Faces of animals are everyday things above.
_ANIMAL_FACES = ("cat face", "cow face", "monkey face", "mouse face")


def everyday() -> tuple[Thing, ...]:
    """Returns the everyday things, field by field, by name within each."""
    return tuple(
        _thing(line.strip(), field)
        for field, lines in _EVERYDAY.items()
        for line in lines.strip().splitlines()
    )


def symbols() -> tuple[Thing, ...]:
    """Returns the signs of DejaVu Sans that are no everyday things."""
    known = {thing.name for thing in everyday()}
    return tuple(
        Thing(name, _plural(name), "signs", ((DEJAVU, character),))
        for name, character in PICTOGRAPHS.items()
        if name not in known and name not in _SAME and name not in _LEFT_OUT
    )


def faces() -> tuple[Thing, ...]:
    """Returns the faces of people: one field in which the things differ in little."""
    return tuple(
        Thing(name, _face_plural(name), "faces", ((DEJAVU, character),))
        for name, character in FACES.items()
        if name not in _ANIMAL_FACES
    )


def digits() -> tuple[Thing, ...]:
    """Returns the digits, each in many fonts."""
    return tuple(
        Thing(name, _plural(name), "digits", tuple((f, character) for f in DIGIT_FONTS))
        for name, character in DIGITS.items()
    )


def every_thing() -> tuple[Thing, ...]:
    """Returns all things that the small CLIP knows: no two have the same name."""
    return (*everyday(), *symbols(), *faces(), *digits())


def pictograph_glyphs() -> dict[str, Glyph]:
    """Returns the name of each single pictograph, and its glyph of DejaVu Sans."""
    return {
        _SAME.get(name, name): (DEJAVU, character)
        for name, character in PICTOGRAPHS.items()
        if name not in _LEFT_OUT
    }


def find_things(names: tuple[str, ...]) -> tuple[Thing, ...]:
    """Returns the things of these names, in this order.

    Raises:
        UserError: for a name without a glyph.
    """
    known = {thing.name: thing for thing in every_thing()}
    for name in names:
        if name not in known:
            raise choose_from("thing", name, tuple(known))
    return tuple(known[name] for name in names)


def _thing(line: str, field: str) -> Thing:
    """Returns the thing of a line of the table."""
    words, _, icons = line.partition(":")
    name, _, plural = words.partition("/")
    entries = [entry.strip() for entry in icons.split(",") if entry.strip()]
    glyphs = tuple(
        (ICONS, entry) if entry.isascii() else (DEJAVU, entry)
        for entry in entries or [name.replace(" ", "_")]
    )
    return Thing(name, plural or _plural(name), field, glyphs)


def _plural(name: str) -> str:
    """Returns the plural of a sign's name, or of any name that ends as most do."""
    if name in _SIGN_PLURALS:
        return _SIGN_PLURALS[name]
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def _face_plural(name: str) -> str:
    """Returns the plural of a face's name, in which the word face need not come last."""
    return name.replace("face", "faces", 1)

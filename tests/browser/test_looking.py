"""Looking at the run that ships with the project: pictures of one's own, a photo, the map."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

import pytest
from PIL import Image

from app.prompt_space.view import THUMBNAILS
from tests.browser.steps import DRAWN, Missed, choose, expect, heading, settled

# Every point of the map: where it is on the screen, and what it stands for.
POINTS = """plot => {
  const layout = plot._fullLayout, at = plot.getBoundingClientRect();
  return plot._fullData.filter(trace => trace.customdata).flatMap(trace =>
    trace.customdata.map((data, index) => ({
      x: at.x + layout.xaxis._offset + layout.xaxis.d2p(trace.x[index]),
      y: at.y + layout.yaxis._offset + layout.yaxis.d2p(trace.y[index]),
      kind: data[0], group: data[1], name: data[2],
    })));
}"""
# The colour in the middle of a picture, and its size.
LOOK = """image => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const middle = [Math.floor(canvas.width / 2), Math.floor(canvas.height / 2)];
  const colour = context.getImageData(...middle, 1, 1).data;
  return {colour: [...colour].slice(0, 3), width: canvas.width, height: canvas.height};
}"""
MOUSE_STEPS = 12
CLICK_SECONDS = 10


def odd_pictures(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Writes pictures of unusual kinds; returns name → the colour to be seen in the middle."""
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    frames = [Image.new("RGB", (50, 50), colour) for colour in ("lime", "red", "blue")]
    clear = Image.new("P", (60, 60), 1)
    clear.putpalette([255, 0, 255, 0, 0, 255])
    Image.new("CMYK", (70, 50), (0, 255, 255, 0)).save(folder / "print.jpg", quality=95)
    Image.new("I;16", (64, 48), 0x8000).save(folder / "scan.png")
    frames[0].save(folder / "moves.gif", save_all=True, append_images=frames[1:])
    clear.save(folder / "clear.png", transparency=0)
    Image.new("RGB", (500, 3), "yellow").save(folder / "wide.png")
    Image.new("RGB", (90, 60), "blue").save(folder / "turned.jpg", exif=turned, quality=95)
    return {
        "print.jpg": (255, 0, 0),
        "scan.png": (128, 128, 128),
        "moves.gif": (0, 255, 0),
        "clear.png": (0, 0, 255),
        "wide.png": (255, 255, 0),
        "turned.jpg": (0, 0, 255),
    }


def try_a_picture(page, address: str, source: str) -> None:
    page.goto(f"{address}/routing?view=Try+a+picture")
    heading(page, "Routing")
    page.get_by_test_id("stMain").get_by_text(source, exact=True).click()
    settled(page)


def looks(page, name: str) -> dict:
    """Returns what the browser shows of a picture's card, once it is there."""
    picture = page.get_by_role("img", name=name).first
    expect(picture).to_be_visible()
    page.wait_for_function("image => image.complete", arg=picture.element_handle())
    return picture.evaluate(LOOK)


def test_odd_pictures_get_cards_and_broken_ones_a_sentence(one_app, browser_page, tmp_path):
    page, colours = browser_page, odd_pictures(tmp_path)
    whole = (tmp_path / "scan.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) - 20])
    (tmp_path / "notes.png").write_text("no picture at all")
    try_a_picture(page, one_app.address, "My files")
    page.locator("input[type=file]").set_input_files([tmp_path / name for name in colours])
    for name, colour in colours.items():
        assert looks(page, name)["colour"] == pytest.approx(colour, abs=6), name
    settled(page)
    assert page.get_by_test_id("stAlert").count() == 0
    turned = looks(page, "turned.jpg")
    assert turned["height"] > turned["width"]

    page.locator("input[type=file]").set_input_files(
        [tmp_path / "cut.png", tmp_path / "notes.png"]
    )
    said = page.get_by_test_id("stAlert")
    expect(said).to_have_count(2)
    expect(said.first).to_contain_text(re.compile(r"cut\.png: .* cut short\. .*\.$"))
    expect(said.last).to_contain_text(re.compile(r"notes\.png: this file is not .*\.$"))
    settled(page)
    for name in colours:
        expect(page.get_by_role("img", name=name)).to_be_visible()
    changed = page.get_by_role("img", name="The changed picture")
    before = changed.get_attribute("src")
    choose(page, "Picture to change", "4. clear.png")
    expect(changed).not_to_have_attribute("src", before)
    assert looks(page, "The changed picture")["colour"] == pytest.approx((0, 0, 255), abs=6)


def test_photo_gets_its_card(one_app, browser_page):
    page = browser_page
    try_a_picture(page, one_app.address, "Camera")
    expect(page.locator("video")).to_be_visible()
    page.wait_for_function("document.querySelector('video').videoWidth > 0")
    settled(page)
    page.get_by_role("button", name="Take Photo").click()
    photo = looks(page, "The changed picture")
    assert photo["width"] > photo["height"]
    settled(page)
    assert page.get_by_test_id("stAlert").count() == 0
    expect(page.get_by_role("button", name="Clear photo")).to_be_visible()


def drag(page, corners: list[tuple[float, float]]) -> None:
    """Moves the mouse from corner to corner with its button down."""
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=MOUSE_STEPS)
    page.mouse.up()


def loneliest(points: list[dict]) -> dict:
    """Returns the soft prompt on the map that is farthest from all other points."""

    def room(one: dict) -> float:
        others = (other for other in points if other is not one)
        return min(math.hypot(one["x"] - other["x"], one["y"] - other["y"]) for other in others)

    return max((one for one in points if one["kind"] == "soft"), key=room)


def click_point(page, plot, point: dict) -> None:
    """Clicks a point until it is chosen: Plotly misses a click that comes before its hover."""
    wanted = page.get_by_text(f"test images of {point['name']} go to {point['group']}")
    end = time.monotonic() + 60
    while not wanted.is_visible():
        assert time.monotonic() < end, "a click chooses nothing"
        page.mouse.move(point["x"] - 40, point["y"] - 40)
        page.mouse.move(point["x"], point["y"])
        expect(plot.locator(".hovertext")).to_contain_text(f"{point['group']} · {point['name']}")
        page.mouse.click(point["x"], point["y"])
        try:
            wanted.wait_for(timeout=CLICK_SECONDS * 1000)
        except Missed:
            continue
    settled(page)


def test_points_of_the_map_are_clicked_boxed_and_lassoed(one_app, browser_page):
    page = browser_page
    page.goto(f"{one_app.address}/prompt_space")
    heading(page, "Prompt space")
    plot = page.locator(".js-plotly-plot").nth(1)
    plot.scroll_into_view_if_needed()
    points = plot.evaluate(POINTS)
    point = loneliest(points)
    click_point(page, plot, point)
    name = point["name"]
    told = page.get_by_text(re.compile(rf"\d+ of \d+ test images of {name} go to"))
    count = int(re.search(r"\d+", told.inner_text())[0])
    pictures = page.get_by_role("img", name=re.compile(f"^{name},"))
    expect(pictures).to_have_count(min(count, THUMBNAILS))

    expect(page.get_by_role("img", name=f"{name} at the chosen point, 1")).to_be_visible()

    middle = sorted(one["x"] for one in points)[len(points) // 2]
    area = plot.locator(".nsewdrag").first.bounding_box()
    left, top = area["x"] + 3, area["y"] + 3
    bottom = area["y"] + area["height"] - 3
    inside = [one for one in points if left < one["x"] < middle and top < one["y"] < bottom]
    corners = [(left, top), (left, bottom), (middle, bottom), (middle, top), (left, top)]
    classes = len({one["name"] for one in inside})
    for tool, way in (("Box Select", corners[0:3:2]), ("Lasso Select", corners)):
        plot.hover()
        plot.locator(f"[data-title='{tool}']").click()
        drag(page, way)
        expect(
            page.get_by_text(f"{len(inside)} points selected, in {classes} classes")
        ).to_be_visible()
        settled(page)
        first = inside[0]
        expect(
            page.get_by_text(f"test images of {first['name']} go to {first['group']}")
        ).to_be_visible()
        page.mouse.dblclick(left + 3, bottom - 3)  # selects nothing
        expect(page.get_by_text("points selected")).to_have_count(0)
        settled(page)


def test_maps_of_the_groups_play_their_epochs_when_asked(one_app, browser_page):
    page = browser_page
    page.goto(f"{one_app.address}/prompt_space?run=albums-mocoop-16shot")
    heading(page, "Prompt space")
    maps = page.locator(".js-plotly-plot").nth(2)
    maps.scroll_into_view_if_needed()
    maps.evaluate(
        "plot => {window.seen = []; plot.on('plotly_animatingframe', e => seen.push(e.name));}"
    )
    expect(maps.get_by_text("Epoch 30")).to_be_visible()
    assert page.evaluate("seen") == []  # nothing moves by itself
    maps.locator(".updatemenu-button").first.click()
    page.wait_for_function("() => seen.length === 11")
    assert page.evaluate("seen") == [str(epoch) for epoch in range(0, 31, 3)]


# What stands out of the page, or of the tile it is in, by more than a pixel.
STICKS_OUT = """() => {
  const found = [];
  const check = (part, box) => {
    const inner = part.getBoundingClientRect();
    const seen = inner.width && getComputedStyle(part).visibility === "visible";
    if (seen && (inner.right > box.right + 1 || inner.left < box.left - 1))
      found.push(part.innerText || part.tagName);
  };
  const main = document.querySelector("[data-testid=stMain]").getBoundingClientRect();
  document.querySelectorAll("[data-testid=stMain] :is(button, [data-baseweb=select], p, h1)")
    .forEach(part => check(part, main));
  document.querySelectorAll('[class*="st-key-tiles-"] > *').forEach(tile =>
    tile.querySelectorAll("span, p, img, button").forEach(
      part => check(part, tile.getBoundingClientRect())));
  return found;
}"""
TILES = """() => [...document.querySelectorAll('[class*="st-key-tiles-card"] > *')].map(tile => {
  const {y, width, height} = tile.getBoundingClientRect();
  return {y: Math.round(y), width, height: Math.round(height)};
})"""


def test_pages_suit_their_width(one_app, browser_page):
    """Nothing stands out at 800 px; on the widest screens lines do not go on for ever."""
    page = browser_page
    page.set_viewport_size({"width": 800, "height": 1000})
    for path, title in (
        ("routing", "Routing"),
        ("data", "Data"),
        ("train", "Train"),
        ("prompt_space", "Prompt space"),
        ("", "MoCoOp"),
    ):
        page.goto(f"{one_app.address}/{path}")
        heading(page, title)
        page.wait_for_function(DRAWN)
        assert page.evaluate(STICKS_OUT) == [], title
    page.goto(f"{one_app.address}/routing")
    heading(page, "Routing")
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    boxes = page.evaluate(TILES)
    assert len({box["height"] for box in boxes[:4]}) == 1  # the first line's cards end together
    page.set_viewport_size({"width": 3840, "height": 2160})
    boxes = page.evaluate(TILES)
    assert max(box["width"] for box in boxes) < 500
    assert len({box["y"] for box in boxes}) == 2

"""Images of any origin: what is made of them, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mocoop.errors import UserError
from mocoop.storage import images
from mocoop.storage.images import GROUNDS, as_rgb, open_image


def encoded(image, kind, **options):
    """Returns the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape):
    """Returns seeded random pixels."""
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def picture():
    """An RGB image of noise, 20 px wide and 12 high."""
    return Image.fromarray(noise(12, 20, 3))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_plain_images_come_back_as_they_are(picture, kind):
    """Lossless files give their own pixels, from bytes and from a path, without a note."""
    options = {"lossless": True} if kind == "WEBP" else {}
    image, notes = open_image(encoded(picture, kind, **options))
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(picture))
    assert notes == []


def test_path_and_bytes_agree(tmp_path, picture):
    """A path and its bytes give the same image."""
    path = tmp_path / "a.png"
    picture.save(path)
    from_path, from_bytes = open_image(path)[0], open_image(path.read_bytes())[0]
    assert from_path.tobytes() == from_bytes.tobytes() == picture.tobytes()


def test_jpeg_called_png(tmp_path, picture):
    """The content counts, not the name."""
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture, "JPEG"))
    image, notes = open_image(path)
    assert (image.mode, image.size, notes) == ("RGB", (20, 12), [])


@pytest.mark.parametrize("mode", ["L", "1", "P", "YCbCr", "LAB"])
def test_other_modes_become_rgb(picture, mode):
    """Grey, black and white, palette and other colour spaces are converted."""
    kind = "TIFF" if mode in ("YCbCr", "LAB") else "PNG"
    converted = picture.convert("RGB").convert(mode) if mode != "LAB" else None
    source = converted or Image.fromarray(noise(12, 20, 3), mode="RGB")
    image, notes = open_image(encoded(source, kind))
    assert (image.mode, image.size) == ("RGB", (20, 12))
    assert notes == []
    if mode in ("L", "1"):
        assert np.array_equal(np.asarray(image), np.asarray(source.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated(picture, kind, share):
    """A file that is cut short is refused, with advice."""
    whole = encoded(picture.resize((200, 120)), kind)
    with pytest.raises(UserError, match=r"damaged or cut short|not a readable image"):
        open_image(whole[: int(len(whole) * share)])


def test_cut_short_is_said(picture):
    """A file whose head is whole is called damaged, by its name."""
    whole = encoded(picture.resize((200, 120)), "JPEG")
    with pytest.raises(UserError, match=r"^cat\.jpg: the image is damaged or cut short.*export"):
        open_image(whole[: len(whole) // 2], name="cat.jpg")


def test_tiff_with_a_damaged_second_page(picture):
    """A TIFF whose next page has no size is damaged, and no crash."""
    whole = bytearray(encoded(picture, "TIFF"))
    first = int.from_bytes(whole[4:8], "little")
    entries = int.from_bytes(whole[first : first + 2], "little")
    pointer = first + 2 + 12 * entries
    assert whole[pointer : pointer + 4] == bytes(4)  # there is no next page yet
    whole[pointer : pointer + 4] = len(whole).to_bytes(4, "little")
    whole += bytes([1, 0, 22, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0]) + bytes(4)  # one tag, no size
    with pytest.raises(UserError, match="damaged or cut short"):
        open_image(bytes(whole))


@pytest.mark.parametrize("content", [b"", b"just some words", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_text_with_an_image_name(tmp_path, content):
    """A file that only claims to be an image is refused."""
    path = tmp_path / "cat.png"
    path.write_bytes(content)
    said = r"cat\.png: .*(not a readable image|damaged|is empty)"
    with pytest.raises(UserError, match=said):
        open_image(path)


def test_renamed_text_file(tmp_path):
    """The message for a text file says what was expected."""
    path = tmp_path / "cat.jpg"
    path.write_text("a cat")
    with pytest.raises(UserError, match=r"not a readable image. Use JPEG, PNG"):
        open_image(path)


def test_missing_file(tmp_path):
    """A missing file is named, and so is a folder."""
    with pytest.raises(UserError, match=r"none\.png: no such file"):
        open_image(tmp_path / "none.png")
    with pytest.raises(UserError, match="no such file"):
        open_image(tmp_path)


def test_too_many_pixels(monkeypatch, picture):
    """More pixels than the limit are refused, and exactly the limit is read."""
    monkeypatch.setattr(images, "MAX_PIXELS", 240)
    assert open_image(encoded(picture, "PNG"))[0].size == (20, 12)
    monkeypatch.setattr(images, "MAX_PIXELS", 239)
    with pytest.raises(UserError, match=r"20 × 12 pixels; at most .* million are allowed"):
        open_image(encoded(picture, "PNG"))


def test_the_limit_is_ours_and_not_pillows(monkeypatch, picture):
    """What Pillow refuses to open is read up to our limit; Pillow's own limit stays as it was."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert open_image(encoded(picture, "PNG"))[0].size == (20, 12)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize(("given", "read"), [("240", True), ("239", False), ("1_000", True)])
def test_the_limit_can_be_set(monkeypatch, picture, given, read):
    monkeypatch.setenv("MOCOOP_MAX_PIXELS", given)
    if read:
        assert open_image(encoded(picture, "PNG"))[0].size == (20, 12)
    else:
        with pytest.raises(UserError, match="set MOCOOP_MAX_PIXELS to a larger number"):
            open_image(encoded(picture, "PNG"))


def test_a_limit_that_is_no_number(monkeypatch, picture):
    monkeypatch.setenv("MOCOOP_MAX_PIXELS", "many")
    with pytest.raises(UserError, match="MOCOOP_MAX_PIXELS is 'many': expected a number"):
        open_image(encoded(picture, "PNG"))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animation(kind):
    """Of an animation the first frame is taken, and said to be."""
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    frames = [Image.new("RGB", (20, 12), colour) for colour in colours]
    options = {"lossless": True} if kind == "WEBP" else {}
    whole = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    image, notes = open_image(whole)
    assert notes == ["animated: the first frame is used"]
    assert image.mode == "RGB"
    assert image.getpixel((5, 5)) == (200, 0, 0)


def test_sixteen_bit_png():
    """16-bit grey is scaled to 8 bits over its whole range."""
    ramp = np.linspace(0, 65535, 240).astype(np.uint16).reshape(12, 20)
    image, notes = open_image(encoded(Image.fromarray(ramp), "PNG"))
    assert notes == [
        "more than 8 bits per channel: scaled to 8, 65535 is white (guessed from this image alone)"
    ]
    assert image.mode == "RGB"
    got = np.asarray(image).astype(int)
    assert np.abs(got - (ramp / 257)[..., None]).max() <= 1
    assert (got.min(), got.max()) == (0, 255)


def test_float_tiff():
    """Floats from 0 to 1 use the whole range."""
    ramp = np.linspace(0, 1, 240, dtype=np.float32).reshape(12, 20)
    image, notes = open_image(encoded(Image.fromarray(ramp), "TIFF"))
    assert notes == [
        "more than 8 bits per channel: scaled to 8, 1 is white (guessed from this image alone)"
    ]
    assert np.abs(np.asarray(image)[..., 0] - ramp * 255).max() <= 1


def test_cmyk_jpeg():
    """CMYK is converted, and said to be."""
    ink = Image.new("CMYK", (20, 12), (0, 255, 255, 0))  # no cyan: red
    image, notes = open_image(encoded(ink, "JPEG", quality=95))
    assert notes == ["CMYK: converted to RGB"]
    red, green, blue = image.getpixel((10, 6))
    assert red > 200
    assert max(green, blue) < 60


def transparent(mode):
    """Returns a file whose left half is opaque dark, whose right half transparent black."""
    alpha = np.zeros((12, 20), dtype=np.uint8)
    alpha[:, :10] = 255
    grey = np.where(alpha > 0, 40, 0).astype(np.uint8)
    if mode == "P":
        image = Image.fromarray((alpha == 0).astype(np.uint8), mode="P")
        image.putpalette([40, 40, 40, 0, 0, 0])
        return encoded(image, "PNG", transparency=1)
    if mode == "RGB":
        image = Image.fromarray(np.stack([grey] * 3, axis=-1))
        return encoded(image, "PNG", transparency=(0, 0, 0))
    if mode == "LA":
        image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    else:
        image = Image.fromarray(np.stack([grey] * 3 + [alpha], axis=-1))
    return encoded(image, "PNG")


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "RGB"])
def test_transparent_png(mode):
    """What is transparent shows white, not the black behind it."""
    image, notes = open_image(transparent(mode))
    assert notes == ["transparent: shown on white"]
    assert image.mode == "RGB"
    assert image.getpixel((3, 6)) == (40, 40, 40)
    assert image.getpixel((16, 6)) == (255, 255, 255)


@pytest.mark.parametrize("ground", GROUNDS)
def test_what_is_behind_transparent_parts_can_be_chosen(ground):
    image, notes = open_image(transparent("RGBA"), ground=ground)
    assert notes == [f"transparent: shown on {ground}"]
    assert image.getpixel((image.width - 1, 0)) == GROUNDS[ground]


def test_another_ground_is_refused():
    with pytest.raises(UserError, match="white, grey"):
        open_image(transparent("RGBA"), ground="pink")


def test_half_transparent():
    """Half transparent black is grey on white."""
    image, _ = open_image(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
    assert image.getpixel((1, 1)) == (127, 127, 127)


@pytest.mark.parametrize(("orientation", "size"), [(1, (20, 12)), (3, (20, 12)), (6, (12, 20))])
def test_exif_orientation(orientation, size):
    """The camera's orientation is applied to the pixels."""
    pixels = np.zeros((12, 20, 3), dtype=np.uint8)
    pixels[:4, :6] = 255  # a white corner, top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, notes = open_image(encoded(Image.fromarray(pixels), "PNG", exif=exif))
    assert image.size == size
    assert notes == []
    corner = {1: (0, 0), 3: (19, 11), 6: (11, 0)}[orientation]
    white = {p for p in [(0, 0), (size[0] - 1, 0), (0, size[1] - 1), (size[0] - 1, size[1] - 1)]
             if image.getpixel(p) == (255, 255, 255)}  # fmt: skip
    assert white == {corner}


def test_formats_that_go_to_other_programs_are_refused(tmp_path, monkeypatch):
    """An EPS file is no image here, whatever it is called: Pillow would start Ghostscript."""

    def started(*arguments, **named):
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr("subprocess.Popen", started)
    path = tmp_path / "drawing.png"
    Image.new("RGB", (8, 8), "red").save(path, "EPS")
    with pytest.raises(UserError, match="not a readable image"):
        open_image(path)
    with pytest.raises(UserError, match="not a readable image"):
        open_image(path.read_bytes(), "drawing.png")


def test_an_empty_file_is_called_empty(tmp_path):
    path = tmp_path / "nothing.jpg"
    path.touch()
    with pytest.raises(UserError, match=r"nothing\.jpg: the file is empty"):
        open_image(path)


def test_a_picture_far_longer_than_wide_is_refused():
    """Its shorter side would be enlarged to what the CLIP takes: gigabytes, and half a minute."""
    with pytest.raises(UserError, match="times as long as the other"):
        open_image(encoded(Image.new("L", (1, 100_000)), "PNG"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "I", "F"])
def test_strips_change_no_pixel(mode, monkeypatch):
    """Large pictures are converted strip by strip, small ones at once."""
    values = np.random.default_rng(0).integers(0, 256, (37, 23, 4), dtype=np.uint8)
    image = Image.fromarray(values, "RGBA")
    if mode != "RGBA":
        image = (
            image.convert("LA")
            if mode == "LA"
            else Image.fromarray(
                values[..., 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
                * 257
            )
        )
    whole = as_rgb(image, "x")
    monkeypatch.setattr("mocoop.storage.images.STRIP", 100)
    assert as_rgb(image, "x").tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_of_the_callers_stays_as_it_is(kind):
    """A program's own picture is turned in a copy, and always to the same."""
    lying = Image.new("RGB", (8, 4))
    exif = lying.getexif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    lying.save(stream, kind, exif=exif)
    given = Image.open(stream)
    assert [as_rgb(given, "it").size for _ in range(2)] == [(4, 8)] * 2
    assert given.size == (8, 4)
    damaged = Image.new("RGB", (8, 4))
    damaged.info["exif"] = b"no camera data"
    assert as_rgb(damaged, "it") is damaged

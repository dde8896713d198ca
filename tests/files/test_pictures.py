"""Odd picture files: read by their content, or left aside by name; nothing vanishes."""

from __future__ import annotations

import pytest
from PIL import Image

from mocoop.cli.main import main
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.storage import images
from mocoop.storage.images import open_image
from tests.files.pictures import NO_PICTURES, READ, blocks, encoded, huge_header
from tests.support.image_files import add_files


@pytest.mark.parametrize("name", READ)
def test_read(tmp_path, name):
    (tmp_path / name).write_bytes(READ[name]())
    image, _ = open_image(tmp_path / name)
    assert (image.mode, image.size) == ("RGB", (64, 48))
    for place, wanted in (((10, 20), (200, 20, 20)), ((54, 20), (20, 20, 200))):
        got = image.getpixel(place)
        assert max(abs(a - b) for a, b in zip(got, wanted, strict=True)) < 40


def test_a_set_of_odd_files(tmp_path):
    """Every picture is an image of its class, every other file is named."""
    for name, content in READ.items():
        add_files(tmp_path, "other/1.png", "other/2.png")
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / name).write_bytes(content())
    for name, content in NO_PICTURES.items():
        (tmp_path / "cat" / name).write_bytes(content)
    data = load_dataset(str(tmp_path))
    found = {item.id for part in data.splits.values() for item in part}
    assert found == {"other/1.png", "other/2.png", *(f"cat/{name}" for name in READ)}
    (aside,) = data.aside.values()
    assert set(aside) == {f"cat/{name}" for name in NO_PICTURES}
    assert any("6 files were left aside (not a picture" in remark for remark in data.remarks)


def test_predict_accounts_for_every_file(finished_run, tmp_path, capsys):
    for name, content in READ.items():
        (tmp_path / name).write_bytes(content())
    for name, content in NO_PICTURES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert main(["predict", str(finished_run.path), str(tmp_path), "--json"]) == 2
    out, err = capsys.readouterr()
    assert "1 of 15 images could not be read" in err
    assert "left aside: 6 files (not a picture that MoCoOp reads: 6)" in err
    for name in NO_PICTURES:
        assert name in out
    for name in READ:
        assert name in out


def test_the_camera_data_are_damaged():
    image, notes = open_image(READ["camera.jpg"]())
    assert image.size == (64, 48)
    assert notes in ([], ["the camera's data are damaged: the orientation is as stored"])


def test_a_huge_picture_is_refused_by_its_header():
    with pytest.raises(UserError, match=r"60000 × 60000 pixels; at most 200 million are allowed"):
        open_image(huge_header(60_000, 60_000))


def test_large_jpegs_are_decoded_at_a_reduced_scale(monkeypatch):
    """Others are decoded whole, as before."""
    content = encoded(blocks(size=(4000, 2400)), "JPEG", quality=80)
    assert open_image(content)[0].size == (4000, 2400)
    monkeypatch.setattr(images, "LARGE", 5_000_000)
    image, notes = open_image(content)
    assert image.size == (2000, 1200)
    assert notes == ["4000 × 2400 pixels: decoded at 2000 px width"]
    assert open_image(encoded(Image.new("L", (4000, 2400)), "PNG"))[0].size == (4000, 2400)

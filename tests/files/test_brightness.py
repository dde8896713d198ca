"""Images of more than 8 bits: one scale for a set, from its training images or by the user."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mocoop.cli.main import main
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from tests.files.pictures import deep


def write_set(root, tops, kind="PNG", dtype=np.uint16):
    """Writes train/ and test/ of two classes; the ramps go up to these values in turn."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number, top in enumerate(tops):
                suffix = kind.lower()
                (root / part / name / f"{number}.{suffix}").write_bytes(deep(top, kind, dtype))
    return load_dataset(str(root))


def brightest(data):
    """Returns the largest 8-bit value of every test image of the first class."""
    return [int(np.asarray(data.image(item)).max()) for item in data.items("test")][:3]


@pytest.mark.parametrize(
    ("tops", "white", "shown"),
    [
        ((4095, 2047, 200), 4095, [255, 127, 12]),
        ((1000, 500, 100), 1023, [249, 124, 24]),
        ((65535, 300, 0), 65535, [255, 1, 0]),
    ],
)
def test_integers(tmp_path, tops, white, shown):
    """Dark images stay dark, and the set as a whole is not black."""
    data = write_set(tmp_path, tops)
    assert data.white.value == white
    assert brightest(data) == shown
    assert f"0 is black and {white} is white" in "\n".join(data.remarks)


@pytest.mark.parametrize(
    ("tops", "white"), [((1.0, 0.5, 0.2), 1), ((1.7, 0.9, 0.5), 1.7), ((255.0, 90.0, 0.5), 255)]
)
def test_fractions_do_not_jump(tmp_path, tops, white):
    data = write_set(tmp_path, tops, "TIFF", np.float32)
    assert data.white.value == pytest.approx(white)
    for shown, top in zip(brightest(data), tops, strict=True):
        assert abs(shown - 255 * top / white) < 2


def test_the_user_sets_it(tmp_path, capsys):
    data = write_set(tmp_path, (4095, 2047, 200))
    item = data.items("test")[0]
    assert main(["data", "check", str(tmp_path)]) == 0
    assert "warning: values of more than 8 bits" in capsys.readouterr().out
    (tmp_path / "mocoop.yaml").write_text("white: 65535\n")
    other = load_dataset(str(tmp_path))
    assert brightest(other) == [15, 7, 0]
    assert "65535 is white (set in mocoop.yaml)" in "\n".join(other.remarks)
    # The pixels differ, and so do the keys of their features.
    assert other.content_key(item) != data.content_key(item)
    assert other.stamp(item).text != data.stamp(item).text


@pytest.mark.parametrize("white", ["bright", "-1", "true", ".inf", "0"])
def test_a_setting_that_is_no_value(tmp_path, white):
    write_set(tmp_path, (4095,) * 3)
    (tmp_path / "mocoop.yaml").write_text(f"white: {white}\n")
    with pytest.raises(UserError, match="expected white to be the value that is white"):
        load_dataset(str(tmp_path))


def test_usual_sets_have_no_such_value(tmp_path):
    for part in ("cat", "dog"):
        (tmp_path / part).mkdir()
        for number in range(2):
            buffer = io.BytesIO()
            Image.new("L", (4, 4), 9 + number).save(buffer, "PNG")
            (tmp_path / part / f"{number}.png").write_bytes(buffer.getvalue())
    data = load_dataset(str(tmp_path))
    assert data.white is None
    assert not any("8 bits" in remark for remark in data.remarks)

"""The weights that ship with the project are those whose checksums ship with it."""

from __future__ import annotations

import shutil

import pytest

from mocoop.assets import SUMS, asset, check_shipped, sums_text
from mocoop.clip import backbone as backbones
from mocoop.errors import UserError
from mocoop.runs.paths import shipped_runs
from mocoop.runs.run import Run


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the shipped files that the code takes for the shipped ones."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(asset("demo-clip"), tmp_path / "demo-clip")
    shutil.copytree(asset("runs/albums-coop-16shot"), tmp_path / "runs" / "run")
    (tmp_path / SUMS).write_text(sums_text(tmp_path))
    for module in ("mocoop.assets", "mocoop.clip.backbone", "mocoop.runs.run"):
        monkeypatch.setattr(f"{module}.asset", lambda name: tmp_path / name)
    return tmp_path


def flip(file):
    """Changes one bit near the end of a file: a weight, not the header."""
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)


def test_the_list_is_up_to_date():
    assert asset(SUMS).read_text() == sums_text(), "run `python docs/shipped_sums.py --write`"
    assert sums_text().count("\n") == 1 + len(list(shipped_runs().iterdir()))


def test_one_bit_of_the_clip_is_told(copy):
    assert backbones.load_backbone("demo").name == "demo"
    flip(copy / "demo-clip" / "open_clip_model.safetensors")
    with pytest.raises(UserError, match=r"is not the file that comes with MoCoOp: its SHA-256"):
        backbones.load_backbone("demo")


def test_one_bit_of_a_run_is_told(copy):
    assert Run(copy / "runs" / "run").weights()
    flip(copy / "runs" / "run" / "weights.safetensors")
    with pytest.raises(UserError, match="its SHA-256 is not that in"):
        Run(copy / "runs" / "run").weights()


def test_a_file_without_a_checksum_is_told(copy):
    (copy / SUMS).unlink()
    with pytest.raises(UserError, match="its SHA-256 is not that in"):
        check_shipped(copy / "runs" / "run" / "weights.safetensors", copy)

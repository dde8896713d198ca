"""The weights and measures that ship with the project are those whose checksums ship with it."""

from __future__ import annotations

import shutil

import pytest

from mocoop.assets import SUMS, asset, check_shipped, sums_text
from mocoop.clip import backbone as backbones
from mocoop.errors import UserError
from mocoop.federated.store import read_records
from mocoop.protocols.lab_grid import read_grid
from mocoop.runs.paths import shipped_runs
from mocoop.runs.run import Run


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the shipped files that the code takes for the shipped ones."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(asset("demo-clip"), tmp_path / "demo-clip")
    shutil.copytree(asset("runs/albums-coop-16shot"), tmp_path / "runs" / "run")
    shutil.copytree(asset("federations"), tmp_path / "federations")
    shutil.copytree(asset("lab"), tmp_path / "lab")
    (tmp_path / SUMS).write_text(sums_text(tmp_path))
    for module in ("mocoop.assets", "mocoop.clip.backbone", "mocoop.protocols.lab_grid"):
        monkeypatch.setattr(f"{module}.asset", lambda name: tmp_path / name)
    return tmp_path


def flip(file):
    """Changes one bit near the end of a file: a weight, not the header."""
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)


def test_the_list_is_up_to_date():
    assert asset(SUMS).read_text() == sums_text(), "run `python docs/shipped_sums.py --write`"
    folders = [*shipped_runs().iterdir(), *asset("federations").iterdir()]
    clip, lab, story = 1, 2, 1
    assert sums_text().count("\n") == clip + 2 * len(folders) + lab + story


def test_one_bit_of_the_clip_is_told(copy):
    assert backbones.load_backbone("demo").name == "demo"
    flip(copy / "demo-clip" / "open_clip_model.safetensors")
    with pytest.raises(UserError, match=r"is not the file that comes with MoCoOp: its SHA-256"):
        backbones.load_backbone("demo")


@pytest.mark.parametrize("what", ["weights", "features"])
def test_one_bit_of_a_run_is_told(copy, what):
    run = Run(copy / "runs" / "run")
    assert getattr(run, what)()
    flip(run.path / f"{what}.safetensors")
    with pytest.raises(UserError, match="its SHA-256 is not that in"):
        getattr(run, what)()


@pytest.mark.parametrize("name", ["federation.json", "records.json"])
def test_one_bit_of_a_federation_is_told(copy, name):
    folder = min((copy / "federations").iterdir())
    assert read_records(folder)
    flip(folder / name)
    with pytest.raises(UserError, match=rf"{name} is not the file that comes with MoCoOp"):
        read_records(folder)


@pytest.mark.parametrize("name", ["grid.json", "grid.safetensors.gz"])
def test_one_bit_of_the_labs_grid_is_told(copy, name):
    assert read_grid().runs
    flip(copy / "lab" / name)
    with pytest.raises(UserError, match=rf"{name} is not the file that comes with MoCoOp"):
        read_grid()


def test_files_of_ones_own_need_no_checksum(copy, tmp_path_factory):
    """They are not among the shipped ones, wherever they came from."""
    own = tmp_path_factory.mktemp("own")
    shutil.copytree(min((copy / "federations").iterdir()), own / "f")
    text = (own / "f" / "records.json").read_text()
    (own / "f" / "records.json").write_text(text + "\n")
    assert read_records(own / "f")


def test_a_file_without_a_checksum_is_told(copy):
    (copy / SUMS).unlink()
    with pytest.raises(UserError, match="its SHA-256 is not that in"):
        check_shipped(copy / "runs" / "run" / "weights.safetensors", copy)

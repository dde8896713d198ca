"""Paths that cannot be used, and what is written to them: told in words, with nothing lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mocoop
from mocoop.cli.main import main
from mocoop.cli.predict import FOLDERS, _labels
from mocoop.cli.serve import _listen, _listening
from mocoop.errors import UserError
from mocoop.protocols.plans import Plan, check
from mocoop.runs.paths import default_runs, federations, find_run, protocol_runs
from mocoop.runs.writer import queue_run
from mocoop.storage.archives import new_folder
from mocoop.storage.cache_folder import default_cache
from tests.support.image_files import add_files

LONG = "x" * 300
TRAIN = ("train", "--data", "details", "--method", "coop", "--epochs", "1")
PROTOCOL = ("protocol", "few-shot", "--data", "details", "--methods", "zero-shot", "--shots", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("data", "show", LONG),
            "File name too long",
        ),
        (("train", "--data", LONG), "File name too long"),
        (("predict", LONG, "a.png"), "File name too long"),
        (("evaluate", LONG), "File name too long"),
        (("unpack", LONG), "File name too long"),
        ((*TRAIN, "--run", "FILE"), "written to FILE: File exists. Remove"),
        ((*TRAIN, "--run", "FILE/x"), "written to FILE/x: Not a directory. Rem"),
        ((*PROTOCOL, "--root", "FILE"), "FILE cannot be used"),
        (("data", "check", "details", "--workers", "-1"), "--workers must be at least 0; got -1"),
        (("data", "encode", "details", "--decoders", "-1"), "--decoders must be at least 0; got"),
        (("predict", "RUN", "a.png", "--top", "-1"), "--top must be at least 1; got -1"),
    ],
)
def test_a_path_that_cannot_be_used_is_told(arguments, message, capsys, tmp_path, workspace):
    (tmp_path / "FILE").write_text("mine")
    named = [a.replace("FILE", str(tmp_path / "FILE")) for a in arguments]
    assert main(named) == 2
    told = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert "Traceback" not in told
    assert len(told.splitlines()[-1]) < 350
    assert re.search(message, told), told
    assert (tmp_path / "FILE").read_text() == "mine"


def test_a_file_in_the_place_of_the_runs_is_told(capsys, tmp_path, monkeypatch, workspace):
    (tmp_path / "runs").write_text("mine")
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    for arguments in (TRAIN, PROTOCOL, (*TRAIN, "--wait")):
        assert main(list(arguments)) == 2
        told = capsys.readouterr().err
        assert re.search("written to .*runs: File exists|runs/protocol cannot be used", told)
    assert (tmp_path / "runs").read_text() == "mine"


def test_a_tilde_is_the_home_folder_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MOCOOP_RUNS", "~/runs")
    monkeypatch.setenv("MOCOOP_CACHE", "~/cache")
    assert default_runs() == tmp_path / "runs"
    assert {protocol_runs().parent, federations().parent} == {tmp_path / "runs"}
    assert default_cache() == Path(tmp_path, "cache")
    monkeypatch.setenv("MOCOOP_RUNS", "~nobody-of-this-name/runs")
    with pytest.raises(UserError, match="cannot be a file or folder here"):
        default_runs()


def test_a_folder_of_the_same_name_does_not_hide_a_run(tmp_path, monkeypatch, empty_runs):
    run = queue_run(empty_runs / "mine")
    (tmp_path / "here" / "mine").mkdir(parents=True)
    (tmp_path / "here" / "pictures").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert find_run("mine") == run.path
    with pytest.raises(UserError, match="pictures is not a complete run"):
        find_run("pictures")


def test_a_folder_that_holds_no_grid_is_told(capsys, tmp_path):
    assert main(["lab-grid", "--show", "--out", str(tmp_path)]) == 2
    assert "holds no grid of the lab: grid.json is missing. Make it" in capsys.readouterr().err


def test_an_address_that_another_process_took_while_the_run_was_loaded():
    """Both have the address first, and the second one is late to listen."""
    with _listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with _listening("127.0.0.1", port) as second:
            _listen(first, "127.0.0.1")
            with pytest.raises(UserError, match=rf"127.0.0.1:{port} cannot be used .*another --h"):
                _listen(second, "127.0.0.1")


def test_a_name_that_is_taken_while_a_folder_is_filled(tmp_path):
    def fill():
        with new_folder(tmp_path / "pets") as folder:
            (folder / "a.txt").write_text("mine")
            (tmp_path / "pets").mkdir()
            (tmp_path / "pets" / "b.txt").write_text("theirs")

    with pytest.raises(UserError, match=r"pets exists already\. Remove or rename it first"):
        fill()
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["b.txt"]


def test_the_folder_of_a_bare_name_is_its_label(tmp_path, monkeypatch):
    add_files(tmp_path, "cat/0.png", "dog/1.png")
    monkeypatch.chdir(tmp_path / "cat")
    assert _labels(FOLDERS, ["0.png", "./0.png", "../dog/1.png"]) == {
        "0.png": "cat",
        "./0.png": "cat",
        "../dog/1.png": "dog",
    }


def test_targets_need_test_images(tmp_path):
    add_files(tmp_path, "cat/0.png", "dog/0.png")  # one image is for training
    plan = Plan("domain-generalization", ("digits",), ("coop",), (1,), targets=(str(tmp_path),))
    with pytest.raises(UserError, match=r"has no test images\. Add a folder test/"):
        check(plan)


def test_a_method_without_training_misses_no_images(capsys, tmp_path, workspace):
    add_files(tmp_path / "pets", *(f"{c}/{n}.png" for c in ("cat", "dog") for n in range(6)))
    line = ["train", "--data", str(tmp_path / "pets"), "--shots", "16", "--run"]
    assert main([*line, str(tmp_path / "zero"), "--method", "zero-shot"]) == 0
    assert "instead of" not in capsys.readouterr().out
    learned = ["--method", "coop", "--epochs", "1"]
    assert main([*line, str(tmp_path / "learned"), *learned]) == 0
    assert "training images instead of" in capsys.readouterr().out


@pytest.mark.parametrize("name", [LONG, "a\0b", "~no-such-user/run", ""])
def test_a_program_is_told_too(name):
    with pytest.raises(UserError):
        mocoop.load_run(name)

"""Paths that cannot be used, and what is written to them: told in words, with nothing lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mocoop.cli.main import main
from mocoop.runs.paths import default_runs, federations, protocol_runs
from mocoop.storage.cache_folder import default_cache

LONG = "x" * 300
TRAIN = ("train", "--data", "details", "--method", "coop", "--epochs", "1")
PROTOCOL = ("protocol", "few-shot", "--data", "details", "--methods", "zero-shot", "--shots", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("data", "show", LONG),
            r"x\.\.\.x.* cannot be used \(File name too long\)",
        ),
        (("train", "--data", LONG), "File name too long"),
        (("predict", LONG, "a.png"), "File name too long"),
        (("evaluate", LONG), "File name too long"),
        (("unpack", LONG), "File name too long"),
        ((*TRAIN, "--run", "FILE"), r"FILE cannot be used \(File exists\)"),
        ((*TRAIN, "--run", "FILE/x"), r"FILE/x cannot be used \(Not a directory\)"),
        ((*PROTOCOL, "--root", "FILE"), "FILE cannot be used"),
        (("data", "check", "details", "--workers", "-1"), "--workers must be at least 0; got -1"),
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
        assert re.search(r"runs(/protocol)? cannot be used", capsys.readouterr().err)
    assert (tmp_path / "runs").read_text() == "mine"


def test_a_tilde_is_the_home_folder_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MOCOOP_RUNS", "~/runs")
    monkeypatch.setenv("MOCOOP_CACHE", "~/cache")
    assert default_runs() == tmp_path / "runs"
    assert {protocol_runs().parent, federations().parent} == {tmp_path / "runs"}
    assert default_cache() == Path(tmp_path, "cache")

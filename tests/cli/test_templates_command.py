"""`mocoop data templates`: from a folder of pictures to groups, with a model, a replay, a file."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from mocoop.cli.main import main
from mocoop.datasets.edits import read_edits
from mocoop.runs.run import Run
from mocoop.templates import groups_in
from tests.support.chat_server import TEMPLATES, Behaviour, running_chat
from tests.support.tiny_data import picture_folder, tiny_checkpoint

KEY = "sk-very-secret-0123456789"
EVERY = [text for texts in TEMPLATES.values() for text in texts]


@pytest.fixture
def place(tmp_path, workspace, monkeypatch):
    """A folder of pictures, a tiny CLIP, and an empty working folder."""
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOCOOP_CHAT_KEY", KEY)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return picture_folder(tmp_path / "cups"), tiny_checkpoint(tmp_path / "clip")


def templates(place, *options):
    data, clip = place
    return main(["data", "templates", data, "--backbone", clip, *map(str, options)])


def test_from_a_model_to_a_training(place, tmp_path, capsys):
    """The answers are stored without the key, replayed without the model, and trained with."""
    with running_chat() as (server, url):
        server.script.append(Behaviour("[]"))
        asked = ("--model", "stand-in", "--url", url, "--samples", 1, "--about", "cups at home")
        assert templates(place, *asked, "--count", 2, "--controls", tmp_path / "controls") == 0
        out = capsys.readouterr().out
        assert templates(place, *asked) == 2  # the answers of before would be lost
        assert "has answers of a model, which would be lost" in capsys.readouterr().err
        number = len(server.asked)
    assert 7 <= number <= 21
    text = (tmp_path / "work" / "cups-templates.json").read_text()
    assert KEY not in text + out
    stored = json.loads(text)
    assert stored["source"] == "model"
    assert len(stored["calls"]) == number
    assert stored["calls"][0]["answer"] == "[]"
    assert stored["candidates"][0]["template"] in EVERY
    assert "# written to cups-templates.json" in out
    assert templates(place, "--replay", "cups-templates.json", "--count", 2, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["groups"] == stored["groups"]
    assert again["groups_sha256"] == stored["groups_sha256"]
    assert (again["source"], again["about"]) == ("replay", "cups at home")
    for name in ("one-group", "random-groups", "random-words", "hand-made"):
        assert groups_in((tmp_path / "controls" / f"{name}.yaml").read_bytes(), name)
    run, (data, clip) = tmp_path / "run", place
    settings = ["--epochs", "0", "--num-chosen", "1", "--quiet", "--backbone", clip]
    file = ["--templates", "cups-templates.json", "--run", str(run)]
    assert main(["train", "--data", data, "--method", "mocoop", *settings, *file]) == 0
    trained = Run(run).setup().groups
    assert {name: list(some) for name, some in trained.items()} == stored["groups"]


def test_own_templates(place, tmp_path, capsys):
    """Templates of a file are checked; what is kept can be written beside the pictures."""
    lines = [*EVERY, "ein foto von einem {} in der nacht.", "a red cup and a {}.", "<b>a {}</b>"]
    (tmp_path / "mine.txt").write_text("\n".join(lines))
    assert templates(place, "--from", tmp_path / "mine.txt", "--count", 2, "--write") == 0
    out = capsys.readouterr().out
    assert "1 names a class" in out
    assert "1 an address or markup" in out
    groups = read_edits(tmp_path / "cups").groups
    assert groups
    assert list(groups) == list(yaml.safe_load(out)["groups"])
    assert templates(place, "--from", tmp_path / "mine.txt", "--write") == 2
    assert "has groups already" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("a photo of a {}.\n" * 3)
    assert templates(place, "--from", tmp_path / "mine.txt") == 0
    assert "note: There is one group" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "m", "--replay", "x.json"], "--model and --replay exclude each other"),
        (["--url", "http://x/v1"], "is given without a model"),
        (["--model", "m", "--url", "localhost:80"], "expected an address such as http://"),
        (["--model", "m", "--samples", "0"], "--samples must be at least 1"),
        (["--model", "m", "--seconds", "0"], "--seconds must be greater than 0"),
        (["--out", "/no/where.json"], "does not exist"),
        (["--replay", "nope.json"], "nope.json cannot be read"),
        (["--from", "nope.txt"], "nope.txt cannot be read"),
        (["--from", "EMPTY"], "There is no template"),
        (["--replay", "EMPTY"], "cannot be read"),
        (["--replay", "OTHER"], "is no file of made templates"),
        (["--count", "-1"], "number of groups must be at least 1"),
        (["--model", "m", "--url", "http://127.0.0.1:9/v1"], "No chat model answers at"),
    ],
)
def test_mistakes_are_sentences(options, words, place, tmp_path, capsys):
    (tmp_path / "empty").write_text("")
    (tmp_path / "other").write_text('{"photo": ["a {}."]}')
    named = {"EMPTY": tmp_path / "empty", "OTHER": tmp_path / "other"}
    assert templates(place, *[named.get(option, option) for option in options]) == 2
    assert words in capsys.readouterr().err
    assert not list((tmp_path / "work").iterdir())


def test_the_extra_package_is_named(place, monkeypatch, capsys):
    monkeypatch.setattr("mocoop.template_making.endpoint.find_spec", lambda name: None)
    assert templates(place, "--model", "m") == 2
    assert 'pip install "mocoop[templates]"' in capsys.readouterr().err
    assert main(["data", "templates"]) == 2
    assert "Expected the name of a data set" in capsys.readouterr().err


def test_files_of_groups():
    """A file holds groups themselves, or has them under `groups`, as JSON or YAML."""
    expected = {"photo": ("a photo of a {}.",)}
    for text in (
        '{"photo": ["a photo of a {}."]}',
        '{"kind": "x", "calls": [], "groups": {"photo": ["a photo of a {}."]}}',
        "zero_shot: x\ngroups:\n  photo: ['a photo of a {}.']\n",
        "{photo: ['a photo of a {}.']}",
    ):
        assert groups_in(text.encode(), "f") == expected
    assert groups_in(b"groups: ['a {}.']", "f") == {"groups": ("a {}.",)}


@pytest.mark.long
def test_same_seed_same_groups_in_two_processes(tmp_path):
    """The whole command, with the whole grammar and the built-in CLIP: equal to the byte."""
    found = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "mocoop", "data", "templates", "details", "--json"]
        command += ["--shots", "4"]
        env = {
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": ":".join(sys.path),
            "PATH": "",
            "OMP_NUM_THREADS": "1",
        }
        env |= {"MOCOOP_CACHE": str(tmp_path / seed), "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        value = json.loads(done.stdout)
        assert len(value["groups"]) > 1
        keys = ("groups", "groups_sha256", "candidates", "controls", "grouping")
        found.append(json.dumps([value[key] for key in keys]).encode())
    assert found[0] == found[1]

"""The command backbone on small CLIPs: facts, conversion, the list, and the download."""

from __future__ import annotations

import json

import pytest

from mocoop.cli import backbone as command
from mocoop.cli.main import main
from mocoop.clip.backbone import load_backbone
from tests.clip.test_formats import hugging_face_folder, save
from tests.support.plain_clips import as_openai_stores, openai_clip


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch):
    monkeypatch.setattr(command, "SECONDS", 0.01)


@pytest.fixture
def openai_file(tmp_path):
    return save(as_openai_stores(openai_clip()), tmp_path / "ViT-small.pt")


def test_check_prints_facts_and_speed(openai_file, capsys):
    """Sizes, activation, file and speed, in words and as JSON."""
    assert main(["backbone", "check", str(openai_file)]) == 0
    out = capsys.readouterr().out
    assert "weights in the form of OpenAI" in out
    assert "pictures of 32 px, texts of 77 tokens, 24 features, QuickGELU" in out
    assert "images a second" in out
    assert out.endswith(f"load it with: --backbone {openai_file}\n")
    assert main(["backbone", "check", str(openai_file), "--json", "--no-speed"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == [str(openai_file)]
    assert found["bytes"] == openai_file.stat().st_size
    assert found["images_per_second"] == 0
    assert found["soft_prompts"] == "shared prefixes"
    assert found["fingerprint"] == load_backbone(str(openai_file)).fingerprint


def test_convert_keeps_the_fingerprint(openai_file, tmp_path, capsys):
    """Both formats become a folder of open_clip's that is the same CLIP bit by bit."""
    hugging_face_folder(tmp_path / "clip")
    for number, name in enumerate((openai_file, tmp_path / "clip")):
        out = tmp_path / f"out{number}"
        assert main(["backbone", "convert", str(name), str(out), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert load_backbone(str(out)).fingerprint == said["fingerprint"]
        assert load_backbone(str(name)).fingerprint == said["fingerprint"]
        names = {"open_clip_config.json", "open_clip_model.safetensors"}
        assert {file.name for file in out.iterdir()} == names
    assert main(["backbone", "convert", str(openai_file), str(tmp_path / "out0")]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    openai_file.write_bytes(b"")
    assert main(["backbone", "convert", str(openai_file), str(tmp_path / "new")]) == 2
    assert not (tmp_path / "new").exists()


def test_list(capsys):
    assert main(["backbone", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["name"] == "demo"
    assert {"ViT-B-16-quickgelu/openai", "ViT-B-32/laion2b_s34b_b79k"} <= {r["name"] for r in rows}
    assert main(["backbone", "list"]) == 0
    assert "598.5 MB  OpenAI's 400 million pairs" in capsys.readouterr().out


def test_download_of_a_repository(hub_server, tmp_path, capsys):
    """Configuration and weights come into the hub's cache; then it loads without a network."""
    repository = "openai/clip-vit-test"
    hugging_face_folder(tmp_path / "clip")
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        path = f"/{repository}/resolve/main/{name}"
        hub_server.files[path] = (tmp_path / "clip" / name).read_bytes()
    assert main(["backbone", "download", repository, "--json"]) == 0
    file = json.loads(capsys.readouterr().out)["file"]
    assert file.endswith("model.safetensors")
    hub_server.asked.clear()
    own = load_backbone(str(tmp_path / "clip")).fingerprint
    assert load_backbone(repository).fingerprint == own
    assert hub_server.asked == []


def test_mistakes_are_told(tmp_path, capsys):
    for arguments, said in (
        (["download", "demo"], "there is nothing to download"),
        (["download", "ViT-B-61/openai"], "Unknown backbone"),
        (["check", str(tmp_path / "no.pt")], "No such weights file"),
        (["check", str(tmp_path)], "has no open_clip_config.json"),
        (["convert", "demo", str(tmp_path / "a" / "b")], "does not exist"),
    ):
        assert main(["backbone", *arguments]) == 2
        assert said in capsys.readouterr().err

"""What the documents say is true of the project: links, command lines, packages, `make`."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mocoop.cli import main as cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for folder in (ROOT, ROOT / "docs")
    for path in sorted(folder.glob("*.md"))
]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE_PATH = re.compile(r"(?<![\w/.-])(?:mocoop|app|pages|tests|assets|docs)/[\w/.*-]*")
CODE_BLOCK = re.compile(r"```.*?```", re.DOTALL)


def read(name):
    """Returns a document's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def command_lines():
    """Returns every document's `mocoop` lines, without their remarks and environment."""
    blocks = "\n".join(block for name in DOCUMENTS for block in BLOCK.findall(read(name)))
    lines = blocks.replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.partition(" #")[0].split(";")]
    found = [re.sub(r"^([A-Z_]+=\S+ )+", "", part) for part in parts]
    return list(dict.fromkeys(line for line in found if line.startswith("mocoop ")))


def anchors(path):
    """Returns the names by which links find a document's headings."""
    text = CODE_BLOCK.sub("", path.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }


def test_there_are_documents():
    expected = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/data.md", "docs/methods.md"}
    assert expected <= set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    folder = (ROOT / name).parent
    for target in LINK.findall(read(name)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = folder / path if path else ROOT / name
        assert file.exists(), f"{name} points to {target}"
        assert not anchor or anchor in anchors(file), f"{name} points to {target}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_in_code_are_there(name):
    """Files and folders that the text names in code exist; NAME stands for any name."""
    spans = re.findall(r"`([^`\n]+)`", CODE_BLOCK.sub("", read(name)))
    paths = [path for span in spans for path in CODE_PATH.findall(span) if "NAME" not in path]
    assert not [path for path in paths if not any(ROOT.glob(path.rstrip("/")))]


def test_every_page_is_found_from_the_readme():
    linked = {target.partition("#")[0] for target in LINK.findall(read("README.md"))}
    assert set(DOCUMENTS) - {"README.md", "BENCHMARKS.md"} <= linked


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_are_understood(line, monkeypatch):
    """Every command of the documents is parsed to its end; what it would do is left undone."""
    done = []
    monkeypatch.setattr(
        cli,
        "COMMANDS",
        {name: (kind, done.append) for name, (kind, _) in cli.COMMANDS.items()},
    )
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        assert cli.main(shlex.split(line)[1:]) == 0, said.getvalue()
    assert len(done) == 1


def test_there_are_command_lines():
    assert len(command_lines()) > 40


def test_contributing_shows_the_packages_of_today():
    """`python docs/floors.py --write` was run after the last change of imports."""
    command = [sys.executable, "docs/floors.py"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert drawn.startswith("flowchart TD\n")
    assert f"```mermaid\n{drawn}```" in read("CONTRIBUTING.md")


def make(*arguments):
    """Returns what `make` would run."""
    command = ["make", "--dry-run", "--always-make", *arguments]
    outer = ("LOCKED", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")  # of a make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


def test_torch_reaches_pip(tmp_path):
    """`make app TORCH=cpu` installs torch from PyTorch's index of CPU builds before the rest."""
    said = make("app", "TORCH=cpu", f"VENV={tmp_path}/env").stdout
    index = "https://download.pytorch.org/whl/cpu"
    first = f"-m pip install --index-url {index} $(grep '^torch' requirements.txt)"
    assert said.index(first) < said.index("-m pip install -r requirements.txt")
    assert index in read("README.md")
    assert "pytorch.org" not in make("app", f"VENV={tmp_path}/env").stdout


def test_another_torch_needs_a_new_environment(tmp_path):
    """An environment that has another build of torch is not said to have the one asked for."""
    (tmp_path / ".app").touch()
    refused = make("app", "TORCH=cpu", f"VENV={tmp_path}")
    assert refused.returncode == 2
    assert "has another build of torch than TORCH=cpu: run `make clean` first" in refused.stderr
    (tmp_path / ".torch-cpu").touch()
    assert make("app", "TORCH=cpu", f"VENV={tmp_path}").returncode == 0


def test_lines_that_choose_torch_are_requirements():
    """What `make app TORCH=cpu` greps is torch and torchvision with their least versions."""
    lines = read("requirements.txt").splitlines()
    chosen = [line for line in lines if line.startswith("torch")]
    assert [re.split(">=", line)[0] for line in chosen] == ["torch", "torchvision"]


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if PYTHON.search(read(name))])
def test_python_runs_as_it_stands(name, workspace, tmp_path, monkeypatch, capsys):
    """Every Python block of a document runs, one after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in PYTHON.findall(read(name)):
        exec(compile(block, name, "exec"), names)
    assert capsys.readouterr().out

"""What the documents point to is there, and the README's command lines are understood."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from mocoop.cli import main as cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "RESULTS.md", "BENCHMARKS.md")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def command_lines():
    """Returns the README's `mocoop` lines, without their remarks and environment."""
    blocks = "\n".join(BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    lines = blocks.replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.partition(" #")[0].split(";")]
    found = [re.sub(r"^([A-Z_]+=\S+ )+", "", part) for part in parts]
    return [line for line in found if line.startswith("mocoop ")]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    targets = LINK.findall((ROOT / name).read_text(encoding="utf-8"))
    own = [target.partition("#")[0] for target in targets if "://" not in target]
    missing = [target for target in own if target and not (ROOT / target).exists()]
    assert not missing
    if name == "README.md":
        assert len(own) >= 6


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_are_understood(line, monkeypatch):
    """Every command of the README is parsed to its end; what it would do is left undone."""
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
    assert len(command_lines()) > 25

"""A few kills, faults and hostile inputs of every kind; `make torture` tries hundreds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[2]


def ended(*arguments: str) -> str:
    """Returns what a script printed; fails if it found something."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    "victims",
    [
        ["training", "pack", "import"],
        ["export", "extraction"],
        ["protocol", "lab grid"],
        ["federation", "sweep", "import in the app"],
    ],
)
@pytest.mark.parametrize("seed", ["1", "2"])
def test_kills_at_random_moments(victims, seed):
    told = ended(
        "tests.torture", "--seed", seed, "--kills", "5", "--no-faults", "--only", *victims
    )
    assert "| killed | times | where | found |" in told
    assert any(f"| {victim} | " in told for victim in victims)


def test_hostile_input():
    told = ended("tests.hostile", "--seed", "1", "--inputs", "100")
    assert "| packed run | 1" in told

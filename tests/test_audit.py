"""The audit refuses licences that are unknown or not permissive, and finds vulnerabilities."""

from __future__ import annotations

import importlib.util
import re
import sys
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def audit():
    """The script of `make audit` as a module."""
    spec = importlib.util.spec_from_file_location("audit_script", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name, **fields):
    metadata = Message()
    metadata["Name"] = name
    for key, value in fields.items():
        metadata[key.replace("_", "-")] = value
    return SimpleNamespace(metadata=metadata)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"License_Expression": "MIT AND PSF-2.0"}, None),
        ({"License_Expression": "GPL-3.0-only OR Apache-2.0"}, None),
        ({"License_Expression": "BSD-2-Clause AND Apache-2.0 WITH LLVM-exception"}, None),
        ({"License": "BSD 3-Clause License\n\nCopyright"}, None),
        ({"Classifier": "License :: OSI Approved :: ISC License (ISCL)"}, None),
        ({"License_Expression": "MPL-2.0 AND (Apache-2.0 OR MIT)"}, None),
        ({"License_Expression": "(MIT OR GPL-3.0-only) AND (BSD OR AGPL-3.0-only)"}, None),
        ({"License_Expression": "GPL-3.0-only AND (Apache-2.0 OR MIT)"}, "x: GPL-3.0-only AND"),
        ({"License_Expression": "MIT OR"}, None),
        ({"License_Expression": "(MIT"}, "x: (MIT is not a permissive licence"),
        ({"License_Expression": "MIT AND GPL-3.0-only"}, "x: MIT AND GPL-3.0-only is not a perm"),
        ({"License": "AGPL", "Classifier": "License :: OSI Approved :: GNU AGPLv3"}, "GNU AGPLv3"),
        ({"License": "Custom"}, "x: its licence is unknown"),
        ({}, "x: its licence is unknown"),
    ],
)
def test_licences(audit, fields, said):
    faults = audit.licence_faults([package("x", **fields)])
    assert len(faults) == (said is not None)
    assert said is None or said in faults[0]


def test_every_installed_package_may_be_used(audit):
    assert audit.licence_faults(distributions()) == []


def test_packages_looked_at_by_hand_are_named(audit):
    assert audit.licence_faults([package("nvidia-cublas", License="own")]) == []
    assert audit.licence_faults([package("my-nvidia-tool", License="own")])


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("print('No known vulnerabilities found')", 0, "No known"),
        ("print('1 known vulnerability'); raise SystemExit(1)", 1, "1 known"),
        ("raise ConnectionError('no such host')", 0, "was not asked: it cannot be reached"),
        ("import time; time.sleep(9)", 0, "was not asked: it did not answer in time"),
    ],
)
def test_a_database_out_of_reach_is_told(audit, monkeypatch, program, code, said):
    monkeypatch.setattr(audit, "SECONDS", 3)
    found = audit.vulnerabilities([sys.executable, "-c", program])
    assert found[0] == code
    assert said in found[1]


def locked(name):
    """Returns package → pinned versions of a lock."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = {}
    for package, version in re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found, text


@pytest.mark.parametrize(
    ("lock", "names"),
    [("requirements.lock", [""]), ("requirements-dev.lock", ["", "-dev", "-docs", "-cluster"])],
)
def test_locks_hold_all_requirements_with_hashes(lock, names):
    versions, text = locked(lock)
    for name in names:
        for line in (ROOT / f"requirements{name}.txt").read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                package = re.sub("[_.]", "-", re.split(r"[><=]", line)[0].lower())
                assert package in versions, f"{package} is not in {lock}: run `make lock`"
    pins = len(re.findall(r"^\S+==", text, re.MULTILINE))
    assert len(re.findall(r"^\S+==.*\\\n    --hash=sha256:", text, re.MULTILINE)) == pins > 50
    assert "://" not in text  # no index, no address, no path of the machine that made it


def test_both_locks_agree():
    app, everything = locked("requirements.lock")[0], locked("requirements-dev.lock")[0]
    assert {name: everything[name] for name in app} == app

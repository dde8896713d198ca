"""The floors of the code: a package imports only from lower floors, and few know Streamlit."""

from __future__ import annotations

import ast
import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "mocoop").rglob("*.py"))
# From the ground up. Packages of one floor do not import each other.
FLOORS = (
    ("mocoop (base)",),
    ("mocoop.prompt_encoder", "mocoop.storage", "mocoop.world"),
    ("mocoop.clip", "mocoop.datasets", "mocoop.runs"),
    ("mocoop.features", "mocoop.model"),
    ("mocoop.analysis", "mocoop.catalog", "mocoop.classifiers", "mocoop.template_making"),
    ("mocoop.evaluation", "mocoop.service", "mocoop.small_clip"),
    ("mocoop.training",),
    ("mocoop.bench", "mocoop.exchange", "mocoop.federated", "mocoop.protocols"),
    ("mocoop.report", "mocoop.results"),
    ("mocoop.sweeps",),
    ("mocoop (public API)",),
    ("mocoop.cli", "app", "app.common"),
    ("app.caches", "app.jobs"),
    ("app.ui",),
    ("app.bench", "app.side_by_side"),
    (
        "app.compare", "app.data", "app.federated", "app.home", "app.lab", "app.prompt_space",
        "app.routing", "app.train",
    ),
    ("app.new_templates",),
    ("pages", "streamlit_app"),
)  # fmt: skip
WITHOUT_STREAMLIT = ("mocoop", "app/common", "app/jobs")
"""Whole folders; besides, every `tables.py` and `figures.py` of the app."""


@pytest.fixture(scope="module")
def graph():
    """Every package with the packages that it imports."""
    spec = importlib.util.spec_from_file_location("floors", ROOT / "docs" / "floors.py")
    floors = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(floors)
    return floors.package_graph()


def imported(path):
    """Returns the top-level packages that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def calls(path):
    """Returns the names of all methods that a file calls."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def python_files(folder):
    """Returns the files of a folder, which must be there."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, f"{folder} has no code: mend the list of folders in this test"
    return files


def test_every_package_has_a_floor(graph):
    """A package that is new, renamed or gone is told here, so that no rule falls asleep."""
    assert {package for floor in FLOORS for package in floor} == set(graph)


def test_imports_lead_down(graph):
    level = {package: number for number, floor in enumerate(FLOORS) for package in floor}
    wrong = [
        f"{package} imports {target}"
        for package, targets in graph.items()
        for target in targets
        if level[target] >= level[package]
    ]
    assert not wrong


def test_packages_import_nothing_by_themselves():
    """An `__init__` holds a docstring alone; data sets and the public API are the exceptions."""
    known = {ROOT / "mocoop/__init__.py", ROOT / "mocoop/datasets/__init__.py"}
    for path in (*LIBRARY, *python_files("app")):
        if path.name == "__init__.py" and path not in known:
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert [type(node) for node in body] == [ast.Expr], path


@pytest.mark.parametrize("folder", WITHOUT_STREAMLIT)
def test_no_streamlit(folder):
    assert not [path for path in python_files(folder) if "streamlit" in imported(path)]


@pytest.mark.parametrize("name", ["tables.py", "figures.py"])
def test_tables_and_figures_know_no_streamlit(name):
    files = [path for path in python_files("app") if path.name.endswith(name)]
    assert len(files) >= 4
    assert not [path for path in files if "streamlit" in imported(path)]


def test_library_does_not_know_the_app():
    forbidden = {"app", "pages", "streamlit_app", "plotly"}
    assert not [path for path in LIBRARY if imported(path) & forbidden]


def test_no_fixed_device():
    """The device is passed, never fixed."""
    assert not [path for path in LIBRARY if "cuda" in calls(path)]


def test_rules_see_what_they_forbid(tmp_path):
    """The checks above find a forbidden import and call."""
    path = tmp_path / "bad.py"
    path.write_text("def f(x):\n    from streamlit.web import cli\n    return x.cuda()\n")
    assert imported(path) == {"streamlit"}
    assert "cuda" in calls(path)


def test_the_wheel_has_every_package():
    """pyproject.toml names each package, since `assets/` joins them under another name."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = set(settings["tool"]["setuptools"]["packages"])
    there = {".".join(p.parent.relative_to(ROOT).parts) for p in LIBRARY}
    assert named == there | {"mocoop._assets"}

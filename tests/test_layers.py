"""The direction of dependencies: the library knows nothing of the app or of one device."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "mocoop").rglob("*.py"))
PURE = ("jobs.py", "tables.py", "figures.py", "estimates.py", "methods.py", "settings.py")
PURE_APP = [ROOT / "app" / name for name in PURE]
WITHOUT_STREAMLIT = LIBRARY + [path for path in PURE_APP if path.exists()]


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


def name_of(path):
    """Returns a file's path inside the project."""
    return path.relative_to(ROOT).as_posix()


def test_there_is_a_library():
    """The files that the rules are about are found."""
    assert {"backbone.py", "text.py", "model.py"} <= {path.name for path in LIBRARY}


@pytest.mark.parametrize("path", WITHOUT_STREAMLIT, ids=name_of)
def test_no_streamlit(path):
    """Only the app's pages and widgets use Streamlit."""
    assert "streamlit" not in imported(path)


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_library_does_not_know_the_app(path):
    """Nothing lower imports anything higher; the estimator alone returns a table of pandas."""
    higher = {"app", "pages", "streamlit_app", "plotly", "pandas"}
    assert not imported(path) & (higher - {"pandas"} if path.name == "estimator.py" else higher)


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_no_fixed_device(path):
    """The device is passed, never fixed."""
    assert "cuda" not in calls(path)


def test_rules_see_what_they_forbid(tmp_path):
    """The checks above find a forbidden import and call."""
    path = tmp_path / "bad.py"
    path.write_text("def f(x):\n    from streamlit.web import cli\n    return x.cuda()\n")
    assert imported(path) == {"streamlit"}
    assert "cuda" in calls(path)

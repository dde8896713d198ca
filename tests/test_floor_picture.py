"""The picture of the packages is what the imports in the code say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def floors():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("floors", ROOT / "docs" / "floors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path):
    """A small project: an app on training, which stands on storage, which stands on the base."""
    files = {
        "mocoop/__init__.py": '_LAZY = {"train": "mocoop.training.loop"}\n',
        "mocoop/errors.py": "",
        "mocoop/api.py": "def run():\n    from mocoop.training import loop\n    return loop\n",
        "mocoop/storage/__init__.py": "",
        "mocoop/storage/atomic.py": "from mocoop.errors import UserError\n",
        "mocoop/training/__init__.py": "",
        "mocoop/training/loop.py": "import mocoop.storage.atomic\nfrom .. import errors\n",
        "app/__init__.py": "",
        "app/train/view.py": "from mocoop import api\nfrom mocoop.storage import atomic\n",
        "pages/train.py": "from app.train import view\n",
        "streamlit_app.py": "import streamlit\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_every_package_with_what_it_imports(floors, project):
    graph = floors.package_graph(project)
    assert graph == {
        "mocoop (base)": set(),
        "mocoop (public API)": {"mocoop.training"},
        "mocoop.storage": {"mocoop (base)"},
        "mocoop.training": {"mocoop (base)", "mocoop.storage"},
        "app": set(),
        "app.train": {"mocoop (public API)", "mocoop.storage"},
        "pages": {"app.train"},
        "streamlit_app": set(),
    }
    assert floors.circles(graph) == []


def test_floors_and_the_fewest_arrows(floors):
    """What follows from other arrows is left out; every package stands above what it imports."""
    graph = {"top": {"middle", "low"}, "middle": {"low"}, "low": set()}
    assert floors.diagram(graph) == (
        "flowchart TD\n"
        '    subgraph floor2[floor 2]\n        top["top"]\n    end\n'
        '    subgraph floor1[floor 1]\n        middle["middle"]\n    end\n'
        '    subgraph floor0[floor 0]\n        low["low"]\n    end\n'
        "    middle --> low\n"
        "    top --> middle\n"
    )


def test_an_import_turned_round_is_seen(floors, project):
    before = floors.diagram(floors.package_graph(project))
    atomic = project / "mocoop/storage/atomic.py"
    atomic.write_text("def late():\n    from mocoop.training.loop import fit\n    return fit\n")
    graph = floors.package_graph(project)
    assert floors.circles(graph) == [("mocoop.storage", "mocoop.training")]
    assert "mocoop.storage ⇄ mocoop.training" in floors.diagram(graph)
    assert floors.diagram(graph) != before


def test_the_packages_form_no_circle(floors):
    assert floors.circles(floors.package_graph()) == []


def test_a_folder_without_code_is_an_error(floors, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no code in"):
        floors.package_graph(tmp_path)


def test_the_picture_takes_its_place_between_the_marks(floors):
    text = f"before\n{floors.START}old\n{floors.END}after\n"
    drawn = floors.with_diagram(text, "new\n")
    assert drawn == f"before\n{floors.START}```mermaid\nnew\n```\n{floors.END}after\n"
    with pytest.raises(ValueError, match="the text needs the lines"):
        floors.with_diagram("nothing", "new\n")

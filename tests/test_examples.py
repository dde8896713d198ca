"""The notebooks in examples/ run from top to bottom, offline, and are small enough to be shown."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))
SECONDS = 250  # for a cell on a busy machine; all of them take half a minute on an idle one
MOST_BYTES = 300_000


def pictures(notebook):
    """Returns how many pictures the outputs of a notebook hold."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_there_are_notebooks():
    assert [path.name for path in EXAMPLES] == ["quickstart.ipynb"]


@pytest.mark.long
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    """Every cell runs in a new folder; what it shows is there in the file too."""
    for name in ("MOCOOP_RUNS", "MOCOOP_CACHE", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other take longer
    monkeypatch.delenv("MPLBACKEND", raising=False)
    saved = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    work = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(fresh, timeout=SECONDS, kernel_name="python3", resources=work).execute()
    assert pictures(fresh) == pictures(saved) >= 3
    assert path.stat().st_size < MOST_BYTES

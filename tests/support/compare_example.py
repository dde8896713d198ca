"""Runs for the tests of the Compare page: copies of a finished one with other seeds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mocoop.runs.run import Run


def copy_run(
    run: Run, path: Path, accuracies: dict[str, float] | None = None, **changes: Any
) -> Run:
    """Returns a copy of a run with other settings, and other accuracies by class choice."""
    shutil.copytree(run.path, path)
    config = json.loads((path / "config.json").read_text())
    config["config"] |= changes
    (path / "config.json").write_text(json.dumps(config))
    if accuracies is not None:
        results = json.loads((path / "results.json").read_text())
        for part, value in accuracies.items():
            results[part]["accuracy"] = value
        base, new = results["base"]["accuracy"], results["new"]["accuracy"]
        results["harmonic_mean"] = 2 * base * new / (base + new)
        (path / "results.json").write_text(json.dumps(results))
    return Run(path)

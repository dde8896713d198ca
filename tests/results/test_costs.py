"""What a training costs: counted and timed on the runs with a method's own settings alone."""

from __future__ import annotations

import json

from mocoop.results.costs import costs
from mocoop.runs.run import list_runs, shipped_runs


def test_the_shipped_run_is_counted():
    runs = [run for run in list_runs([shipped_runs()]) if run.setup().config.data == "albums"]
    (run,) = (run for run in runs if run.setup().config.method == "mocoop")
    size = sum(value.numel() for value in run.weights().values())
    taken, epochs = run.results()["training_seconds"], run.setup().config.epochs
    table = costs(runs, "albums")
    assert f"| mocoop | {size:,} | {epochs} | {taken / epochs:.2f} | {taken:.1f} |" in table


def test_runs_with_other_settings_or_data_are_left_out(tmp_path):
    (run,) = list_runs([shipped_runs()])[:1]
    saved = json.loads((run.path / "config.json").read_text())
    saved["config"]["learning_rate"] *= 2
    other = tmp_path / "other"
    other.mkdir()
    for file in run.path.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "config.json").write_text(json.dumps(saved))
    assert "| mocoop" not in costs(list_runs([tmp_path]), "albums")
    assert "| mocoop" not in costs([run], "details")

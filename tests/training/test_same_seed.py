"""Same seed, same run: in another process, with another hash seed, after other work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.tiny_data import picture_folder, tiny_checkpoint

ROOT = Path(__file__).parents[2]
METHODS = ("mocoop-ln", "cocoop", "mocoop-cond")
TRAIN = """
import sys
from dataclasses import replace
from pathlib import Path
from mocoop.training.experiment import run_experiment
from mocoop.presets import preset

folder, data, backbone, *methods = sys.argv[1:]
for method in methods:
    crops = "crops" if method.endswith("-ln") else "none"
    config = replace(preset(method), data=data, backbone=backbone, shots=2, epochs=2)
    list(run_experiment(replace(config, augment=crops), Path(folder, method)))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of the same runs, made at once by two processes in another order."""
    root = tmp_path_factory.mktemp("same-seed")
    data, backbone = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    processes = []
    for hash_seed, methods in (("1", METHODS), ("2", METHODS[::-1])):
        folder = root / hash_seed
        environment = os.environ | {
            "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1",
            "MOCOOP_CACHE": str(folder / "cache"), "MOCOOP_RUNS": str(folder),
        }  # fmt: skip
        command = [sys.executable, "-c", TRAIN, str(folder), data, backbone, *methods]
        processes.append(
            (folder, subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE))
        )
    for _, process in processes:
        _, error = process.communicate(timeout=250)
        assert process.returncode == 0, error.decode()
    return [folder for folder, _ in processes]


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_run_in_two_processes(runs, method):
    """Weights, text features, records and results are equal to the last bit."""
    one, two = (folder / method for folder in runs)
    for name in ("weights.safetensors", "features.safetensors"):
        first, second = load_file(one / name), load_file(two / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    results = [json.loads((path / "results.json").read_text()) for path in (one, two)]
    records = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (one, two)
    ]
    for result in results:
        result.pop("training_seconds")
    for record in (*records[0], *records[1]):
        record.pop("seconds")
    assert results[0] == results[1]
    assert records[0] == records[1]
    assert len(records[0]) == 3

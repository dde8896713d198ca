"""Two servers on one folder of runs: processes of their own do what their pages would do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from app.jobs import trainings
from mocoop.assets import asset
from mocoop.errors import UserError
from mocoop.exchange.import_prompts import _own_folder
from mocoop.runs.export_zip import write_archive
from mocoop.runs.run import Run, damaged_runs, list_runs
from mocoop.runs.status import FINISHED, QUEUED, identity
from mocoop.runs.writer import RunWriter, queue_run
from mocoop.storage.atomic import write_json
from mocoop.training.experiment import run_experiment
from tests.app.jobs.test_trainings import wait_until
from tests.support.page_fixtures import tiny_config

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = asset("runs") / "albums-mocoop-16shot"
SERVER = """
import json, sys, time
from pathlib import Path
from mocoop.presets import settings_of_run
from mocoop.errors import UserError
from mocoop.runs.delete import delete_run
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run
from app.jobs import trainings

def act(order):
    name, argument = order
    if name == "train":
        return trainings.start_run(settings_of_run(json.loads(argument))).name
    if name == "import":
        return read_archive(Path(argument)).name
    return delete_run(Run(Path(argument)))

print("ready", flush=True)
said = []
for line in sys.stdin:  # both servers get a line at about the same moment
    try:
        said.append(act(json.loads(line)))
    except UserError as error:
        said.append("refused: " + str(error))
print(json.dumps(said), flush=True)
"""


@pytest.fixture
def servers(empty_runs, monkeypatch):
    """Returns a function that lets two servers do the same things at the same time."""
    monkeypatch.setenv("MOCOOP_STANDBY", "0")
    command = [sys.executable, "-c", SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]

    def do(*orders):
        for server in both:
            assert server.stdout.readline() == "ready\n"
        for order in orders:
            for server in both:
                server.stdin.write(json.dumps(order) + "\n")
                server.stdin.flush()
        answers = [json.loads(server.communicate(timeout=250)[0]) for server in both]
        assert [server.returncode for server in both] == [0, 0]
        return answers

    yield do
    for server in both:
        server.kill()
    for run in trainings.active_runs():
        trainings.cancel_run(run, patience=1)


@pytest.mark.long
def test_the_same_training_on_both_is_trained_once(servers, empty_runs):
    orders = [("train", json.dumps(tiny_config(seed=seed).to_dict())) for seed in (1, 2, 3)]
    answers = servers(*orders)
    for pair in zip(*answers, strict=True):
        refused = [said for said in pair if said.startswith("refused: ")]
        assert len(refused) == 1, pair
        assert "has exactly these settings" in refused[0]
    wait_until(lambda: not trainings.active_runs(), 250)
    runs = list_runs([empty_runs])
    assert [run.status().state for run in runs] == [FINISHED] * 3
    assert sorted(run.setup().config.seed for run in runs) == [1, 2, 3]
    assert damaged_runs([empty_runs]) == {}


@pytest.mark.long
def test_imports_and_deletions_on_both_leave_no_half(servers, empty_runs, tmp_path):
    """Each import and each deletion succeeds on one server and is refused on the other."""
    archive = tmp_path / "run.zip"
    write_archive(Run(SHIPPED), archive)
    target = str(empty_runs / SHIPPED.name)
    answers = servers(*([("import", str(archive)), ("delete", target)] * 20))
    left = sorted(path.name for path in empty_runs.iterdir())
    assert left in ([], [SHIPPED.name])
    assert damaged_runs([empty_runs]) == {}
    for said in answers[0] + answers[1]:
        if said is not None and said.startswith("refused"):
            assert "already" in said or "not a run folder" in said, said


def test_a_run_that_waits_for_another_process_is_left_to_it(empty_runs):
    """A command, or an import, that chose the same name neither takes it over nor fails it."""
    run = queue_run(empty_runs / "run")
    parent = psutil.Process(os.getppid())
    write_json(run.path / "status.json", {"state": QUEUED, **identity(parent)})
    before = (run.path / "status.json").read_text()
    with pytest.raises(UserError, match=r"holds a run already \(queued\)"):
        RunWriter(run.path)
    with pytest.raises(UserError, match="holds a run already"):
        list(run_experiment(tiny_config(), run.path))
    with pytest.raises(UserError, match="no-such-set"):
        list(run_experiment(replace(tiny_config(), data="no-such-set"), run.path))
    assert (run.path / "status.json").read_text() == before


def test_two_imports_at_once_have_folders_of_their_own(empty_runs):
    config = tiny_config()
    (first, fresh), (second, also) = _own_folder(config, None), _own_folder(config, None)
    assert first != second
    assert fresh
    assert also
    assert _own_folder(config, first) == (first, False)
    assert _own_folder(config, empty_runs / "mine") == (empty_runs / "mine", True)

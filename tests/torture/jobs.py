"""Victims that go on by themselves: federations, sweeps, and imports of prompts in the app."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file

from app.jobs import import_worker, imports
from app.jobs.import_worker import CHECKPOINT, ImportRequest, ImportStatus
from app.jobs.job_folder import REQUEST, new_status, status_in, write_status
from mocoop.cli.main import main
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.federated.store import STATE, read_records
from mocoop.runs.run import Run, list_runs
from mocoop.runs.status import FINISHED
from mocoop.storage.atomic import write_json
from mocoop.training import experiment
from tests.exchange.test_import import coop_state, dassl_file, drawn
from tests.torture.runs import state_of
from tests.torture.victim import Victim
from tests.torture.world import World, run_differences, store_problems

ROUNDS = 3
SWEEP = """\
data: [details]
methods: [coop]
shots: [1]
seeds: [1]
settings: {epochs: 2}
grid:
  learning_rate: [0.1, 0.5]
halving: {first: 1, factor: 2}
"""


class Federation(Victim):
    """`mocoop federated --folder`, continued by the same command."""

    name = "federation"

    def work(self, world: World) -> object:
        command = ["federated", "--data", "details", "--strategy", "fedavg", "--clients", "2"]
        command += ["--rounds", str(ROUNDS), "--local-epochs", "1", "--shots", "1", "--json"]
        return main([*command, "--folder", str(world.out / "federation")])

    def where(self, world: World) -> str:
        folder = world.out / "federation"
        if not (folder / STATE).exists():
            return "before the first round ended"
        return f"after {len(read_records(folder))} of {ROUNDS} rounds"

    def differences(self, world: World, reference: World) -> list[str]:
        folders = [one.out / "federation" for one in (world, reference)]
        first, second = (load_file(folder / STATE) for folder in folders)
        unlike = first.keys() ^ second.keys()
        unlike |= {
            name
            for name in first.keys() & second.keys()
            if not torch.equal(first[name], second[name])
        }
        found = [f"the state differs in {', '.join(sorted(unlike)[:3])}"] if unlike else []
        one, other = ([_timeless(asdict(record)) for record in read_records(folder)]
                      for folder in folders)  # fmt: skip
        return found if one == other else [*found, "the records differ"]


class SweepOfSettings(Victim):
    """`mocoop sweep` with successive halving, continued by the same command."""

    name = "sweep"

    def work(self, world: World) -> object:
        experiment.SNAPSHOT_SECONDS = 0.0
        file = world.root / "rates.yaml"
        file.write_text(SWEEP)
        return main(["sweep", str(file), "--folder", str(world.out / "sweep"), "--json"])

    def where(self, world: World) -> str:
        runs = sorted(path.parent for path in (world.out / "sweep").rglob("status.json"))
        return f"run {len(runs)}, {state_of(runs[-1])}" if runs else "before the first run"

    def half(self, world: World) -> list[str]:
        table = world.out / "sweep" / "table.md"
        whole = self.reference.out / "sweep" / "table.md"
        half = table.exists() and table.read_text() != whole.read_text()
        return ["half a table looks finished"] if half else []

    def differences(self, world: World, reference: World) -> list[str]:
        folders = [one.out / "sweep" for one in (world, reference)]
        found = self.half(world) if (folders[0] / "table.md").exists() else ["there is no table"]
        places = [{file.parent.relative_to(folder) for file in folder.rglob("results.json")}
                  for folder in folders]  # fmt: skip
        if places[0] != places[1]:
            return [*found, "other runs are finished"]
        for place in places[1]:
            found += run_differences(Run(folders[0] / place), Run(folders[1] / place))
        return found

    def _store(self, world: World) -> list[str]:
        folders = {path.parents[1] for path in (world.out / "sweep").rglob("status.json")}
        return [problem for folder in sorted(folders) for problem in store_problems(folder)]


class AppImport(Victim):
    """The process in which the app imports prompts; somebody who comes back imports again."""

    name = "import in the app"

    def prepare(self, world: World) -> None:
        clip, names = load_backbone("demo"), list(load_dataset("details").class_names)
        context = drawn(4, clip.text.width)
        dassl_file(world.root / "prompts.pth.tar", coop_state(clip, context, names))

    def work(self, world: World) -> object:
        folder = self._job(world)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / CHECKPOINT).mkdir(parents=True)
        shutil.copy(world.root / "prompts.pth.tar", folder / CHECKPOINT)
        write_status(folder, new_status(ImportStatus))
        write_json(folder / REQUEST, asdict(ImportRequest("prompts.pth.tar", "details", "demo")))
        import_worker.import_here(folder)
        status = status_in(folder, ImportStatus)
        return 0 if status is not None and status.state == FINISHED else 1

    def half(self, world: World) -> list[str]:
        folder = self._job(world)
        if not folder.exists():
            return []
        status = status_in(folder, ImportStatus)
        if status is None:
            return []  # killed before the first status: no job is shown
        if status.active:
            return ["an import seems to be at work"]
        if status.state == FINISHED and Run(world.runs / status.run).status().state != FINISHED:
            return ["an import looks finished and is not"]
        return []

    def where(self, world: World) -> str:
        runs = list_runs([world.runs])
        return state_of(runs[0].path) if runs else "before the run"

    def differences(self, world: World, reference: World) -> list[str]:
        done, expected = (self._finished(one) for one in (world, reference))
        return run_differences(done[-1], expected[-1]) if done else ["no run is finished"]

    def _finished(self, world: World) -> list[Run]:
        return [run for run in list_runs([world.runs]) if run.status().state == FINISHED]

    def _job(self, world: World) -> Path:
        return world.root / imports.FOLDER / ("0" * 16)


def _timeless(record: dict) -> dict:
    return {name: value for name, value in record.items() if "seconds" not in name}

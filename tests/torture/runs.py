"""Victims that write runs: trainings, protocols, the lab's grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mocoop.cli.main import main
from mocoop.presets import preset
from mocoop.protocols.lab_grid import Axes, make_grid, read_grid
from mocoop.runs.run import Run, list_runs
from mocoop.runs.status import FINISHED, STATUS_FILE
from mocoop.training import experiment
from mocoop.training.snapshots import saved_epoch
from tests.torture.victim import Victim
from tests.torture.world import World, file_differences, run_differences

EPOCHS = 10


def state_of(folder: Path) -> str:
    """Returns what a run was doing, from its files."""
    if not folder.exists():
        return "before the folder"
    if not (folder / STATUS_FILE).exists():
        return "before the status"
    try:
        values = json.loads((folder / STATUS_FILE).read_text())
    except ValueError:
        return "in the status"
    doing = values["message"] or values["state"]
    return doing if values["state"] != "finished" else "after the end"


class Training(Victim):
    """`mocoop train` with a snapshot after every epoch, continued with `mocoop resume`."""

    name = "training"

    def work(self, world: World) -> object:
        experiment.SNAPSHOT_SECONDS = 0.0
        file = world.root / "settings.json"
        short = replace(preset("mocoop"), data="details", shots=1, epochs=EPOCHS, save_every=2)
        file.write_text(json.dumps(short.to_dict()))
        path = self._path(world)
        return main(["train", "--config", str(file), "--run", str(path), "--quiet"])

    def again(self, world: World) -> object:
        path = self._path(world)
        if path.is_dir() and (path / STATUS_FILE).exists():
            if Run(path).status().state == FINISHED:
                return 0
            if saved_epoch(path) is not None:
                experiment.SNAPSHOT_SECONDS = 0.0
                return main(["resume", str(path), "--quiet"])
        return self.work(world)

    def where(self, world: World) -> str:
        return state_of(world.runs / "run")

    def differences(self, world: World, reference: World) -> list[str]:
        (done,) = [run for run in list_runs([world.runs]) if run.status().state == FINISHED]
        found = run_differences(done, Run(reference.runs / "run"))
        if (done.path / "resume").exists():
            found.append("a finished run keeps its snapshot")
        return found

    def _path(self, world: World) -> Path:
        """Returns the folder of the run: another one beside a run that cannot be continued."""
        for name in ("run", "run-1", "run-2"):
            path = world.runs / name
            if not (path / STATUS_FILE).exists() or saved_epoch(path) is not None:
                return path
            if Run(path).status().state == FINISHED:
                return path
        raise RuntimeError("more runs than kills")


class Protocol(Victim):
    """`mocoop protocol few-shot` with two short trainings, repeated by the same command."""

    name = "protocol"
    workers = 1

    def work(self, world: World) -> object:
        experiment.SNAPSHOT_SECONDS = 0.0
        command = ["protocol", "few-shot", "--data", "details", "--methods", "coop"]
        command += ["--shots", "1", "--seeds", "1", "2", "--epochs", "2"]
        return main([*command, "--workers", str(self.workers)])

    def where(self, world: World) -> str:
        found = sorted((world.runs / "protocol").glob("*"))
        return f"run {len(found)}, {state_of(found[-1])}" if found else "before the first run"

    def differences(self, world: World, reference: World) -> list[str]:
        found = []
        for expected in sorted((reference.runs / "protocol").iterdir()):
            names = (expected.name, f"{expected.name}-1", f"{expected.name}-2")
            runs = [Run(world.runs / "protocol" / name) for name in names]
            done = [run for run in runs if run.path.exists() and run.status().state == FINISHED]
            if len(done) != 1:
                found.append(f"{expected.name} is finished {len(done)} times")
                continue
            found += run_differences(done[0], Run(expected))
        return found

    def _store(self, world: World) -> list[str]:
        from tests.torture.world import store_problems

        return store_problems(world.runs) + store_problems(world.runs / "protocol")


class ParallelProtocol(Protocol):
    """The same with two processes, which must not outlive the command."""

    name = "protocol in two processes"
    workers = 2


class LabGrid(Victim):
    """The grid of the overfitting lab: three short trainings, measured, in one file."""

    name = "lab grid"

    def work(self, world: World) -> object:
        axes = Axes(("details",), (1,), (1.0,), (0.2,), (1,), 1)
        for _ in make_grid(axes, world.runs / "lab-grid", world.out):
            pass
        return 0

    def half(self, world: World) -> list[str]:
        if not (world.out / "grid.json").exists():
            return []
        read_grid(world.out)  # the table is written last
        return []

    def where(self, world: World) -> str:
        parts = list((world.runs / "lab-grid").glob("*.safetensors"))
        return f"after {len(parts)} of 3 trainings"

    def differences(self, world: World, reference: World) -> list[str]:
        return file_differences(world.out, reference.out)

"""Victims that write files beside runs: exports, packed and imported runs, maps, features."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from mocoop.analysis.projection import MapSettings, projection_of
from mocoop.assets import asset
from mocoop.cli.main import main
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.features import cache as feature_cache
from mocoop.features.cache import FeatureCache
from mocoop.runs.export_zip import write_archive
from mocoop.runs.paths import EXPORT_FILE
from mocoop.runs.run import Run
from tests.torture.victim import Victim
from tests.torture.world import World, file_differences, run_differences

SHIPPED = asset("runs") / "albums-mocoop-16shot"
IMAGES = 160
WORKERS = 2


class Extraction(Victim):
    """Encoding images into an empty cache, with two processes that decode them."""

    name = "extraction"
    own_cache = True

    def work(self, world: World) -> object:
        feature_cache.SHARD_ROWS = 32
        self._features(world)
        return 0

    def _features(self, world: World) -> torch.Tensor:
        data = load_dataset("details")
        cache = FeatureCache(load_backbone("demo"), world.cache, 32, workers=WORKERS)
        return cache.features(data, data.items("train")[:IMAGES])

    def where(self, world: World) -> str:
        shards = list((world.cache / "features").rglob("*.safetensors"))
        return f"after {len(shards)} shards"

    def differences(self, world: World, reference: World) -> list[str]:
        same = torch.equal(self._features(world), self._features(reference))
        return [] if same else ["the features differ"]


class Export(Victim):
    """`mocoop export`, repeated into the same folder."""

    name = "export"

    def work(self, world: World) -> object:
        return main(["export", str(SHIPPED), "--out", str(world.out / "classifier")])

    def again(self, world: World) -> object:
        whole = (world.out / "classifier" / EXPORT_FILE).exists()
        return 0 if whole else self.work(world)

    def half(self, world: World) -> list[str]:
        from mocoop.classifiers.export import load_export

        if (world.out / "classifier" / EXPORT_FILE).exists():
            load_export(world.out / "classifier")
        return []

    def where(self, world: World) -> str:
        folder = world.out / "classifier"
        return f"after {len(list(folder.glob('[!.]*')))} files"

    def differences(self, world: World, reference: World) -> list[str]:
        return file_differences(world.out, reference.out)


class Pack(Victim):
    """`mocoop pack` over and over, as one is over within milliseconds."""

    name = "pack"
    times = 12

    def work(self, world: World) -> object:
        return max(
            main(["pack", str(SHIPPED), "--out", str(world.out / f"{number}.zip")])
            for number in range(self.times)
        )

    def where(self, world: World) -> str:
        return f"after {len(list(world.out.glob('*.zip')))} of {self.times} zips"

    def half(self, world: World) -> list[str]:
        whole = (self.reference.out / "0.zip").read_bytes()
        return [f"{path.name} is half a zip" for path in world.out.glob("*.zip")
                if path.read_bytes() != whole]  # fmt: skip

    def differences(self, world: World, reference: World) -> list[str]:
        return file_differences(world.out, reference.out)


class Import(Victim):
    """`mocoop unpack` of several runs, as one is over within milliseconds."""

    name = "import"
    times = 8

    def prepare(self, world: World) -> None:
        write_archive(Run(SHIPPED), world.out / "run.zip")

    def work(self, world: World) -> object:
        worst = 0
        for number in range(self.times):
            if not (world.runs / f"copy-{number}").exists():
                name = ["--name", f"copy-{number}"]
                worst = max(worst, main(["unpack", str(world.out / "run.zip"), *name]))
        # The last one of all removes what a killed one left; see the test of the same name.
        return worst

    def again(self, world: World) -> object:
        shutil.rmtree(world.runs / "copy-0", ignore_errors=True)
        return self.work(world)

    def where(self, world: World) -> str:
        return f"after {len(list(world.runs.glob('copy-*')))} of {self.times} runs"

    def differences(self, world: World, reference: World) -> list[str]:
        found = []
        for number in range(self.times):
            run = Run(world.runs / f"copy-{number}")
            found += run_differences(run, Run(reference.runs / run.name))
        return found


class MapMaker(Victim):
    """The map of Prompt space, which the app makes in a process of its own."""

    name = "map maker"
    own_cache = True
    settings = MapSettings("umap", 2, rounds=30, max_points=400)

    def prepare(self, world: World) -> None:
        shutil.copytree(SHIPPED, world.runs / "run")
        for path in (world.runs / "run").glob("projection-*"):
            path.unlink()

    def work(self, world: World) -> object:
        projection_of(Run(world.runs / "run"), self.settings)
        return 0

    def _maps(self, world: World) -> list[Path]:
        return list((world.runs / "run").glob("projection-*"))

    def where(self, world: World) -> str:
        return "after the map" if self._maps(world) else "before the map"

    def differences(self, world: World, reference: World) -> list[str]:
        (one,), (other,) = self._maps(world), self._maps(reference)
        # Not the bytes: safetensors writes what describes a map in any order.
        same = torch.equal(load_file(one)["coordinates"], load_file(other)["coordinates"])
        return [] if same else ["the maps differ"]

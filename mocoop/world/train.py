"""`python -m mocoop.world.train`: trains the small CLIP of scenes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from mocoop.errors import UserError
from mocoop.world.clip_config import SceneClipConfig


@dataclass(frozen=True)
class TrainSceneClip:
    """Train the small CLIP of scenes, or go on with a training that was interrupted."""

    config: tyro.conf.OmitArgPrefixes[SceneClipConfig]
    out: Path = Path("scenes-clip")
    """Folder for the weights and the model card."""


def main() -> None:
    """Trains, and prints a line for every look at unseen scenes."""
    command = tyro.cli(TrainSceneClip)
    try:
        _train(command.config, command.out)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _train(config: SceneClipConfig, folder: Path) -> None:
    """Trains, then measures and writes the model card."""
    import json

    from mocoop.world.clip_card import write_card
    from mocoop.world.clip_training import NOTE, train_scene_clip
    from mocoop.world.roles import ROLES

    for record in train_scene_clip(config, folder):
        step, seconds = record["step"], record["seconds"]
        line = f"step {step} of {config.steps}, {seconds:.0f} s, loss {record['loss']:.3f}"
        if f"{ROLES[0]}/by_role" in record:
            line += "".join(
                f", {role} {record[f'{role}/by_role']:.0f}/{record[f'{role}/plain']:.0f}"
                for role in ROLES
            )
        print(line, flush=True)
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    print(f"written: {write_card(folder, note)}", flush=True)


if __name__ == "__main__":
    main()

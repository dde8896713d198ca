"""The command data encode: encodes all images of a data set before any training needs them."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from typing import Annotated

import tyro

from mocoop.cli.console import counted, print_json, progress_bar
from mocoop.cli.groups import DataOptions, SetName
from mocoop.cli.many_runs import EngineOptions
from mocoop.cli.option_types import MaybeInt
from mocoop.config import Precision
from mocoop.errors import UserError

MOST_SHOWN = 10  # images that cannot be read


@dataclass(frozen=True)
class EncodeData(DataOptions):
    """Encode all images of a data set with a CLIP's image tower, and keep the features.

    Trainings find them in the cache. To continue after a stop, run the same command again.

    Examples:
        mocoop data encode imagenet --backbone ViT-B-16-quickgelu/openai
        mocoop data encode imagenet --engine ray --address auto --cpus 4 --gpus 1
    """

    name: SetName = ""
    """Built-in or benchmark set, folder of images, or table (CSV, TSV, Parquet)."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    device: str = "auto"
    """`auto`, `cpu`, or a GPU such as `cuda`."""
    precision: Precision = "auto"
    """Number format inside the image tower. Trainings find the features of their own format."""
    decoders: MaybeInt = None
    """Processes that decode images for each worker; by default a number that suits the machine,
    and on a cluster --cpus less one."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(default_factory=EngineOptions)


def encode(command: EncodeData) -> None:
    """Encodes a data set, shows the progress, and says what was done.

    Raises:
        UserError: for data, a CLIP or a cluster that cannot be used, or images that cannot be
            read; all others are encoded then.
    """
    from mocoop.datasets import absolute_source
    from mocoop.features.extraction import Request, extract

    if not command.name:
        raise UserError("Expected the name of a data set, or the path of a folder of images.")
    if command.decoders is not None and command.decoders < 0:
        raise UserError(f"--decoders must be at least 0; got {command.decoders}.")
    engine = command.engine.chosen()
    name = absolute_source(command.name)  # the same on every node
    decoders = command.decoders
    if decoders is None and engine.name == "ray":
        decoders = max(0, int(engine.cpus) - 1)
    root = command.root.resolve() if command.root else None
    request = Request(name, command.backbone, root, command.device, command.precision, decoders)
    with progress_bar(not command.json, "encoding images") as progress:
        done = extract(request, engine, progress)
    if command.json:
        print_json(asdict(done))
    else:
        print(f"{command.name}: {counted(done.new, 'image')} of {done.images:,} encoded now")
    if done.unreadable:
        number = counted(len(done.unreadable), "image")
        some = "".join(f"\n  {reason}" for reason in done.unreadable[:MOST_SHOWN])
        raise UserError(
            f"{number} cannot be read. Fix them, or leave them out with: mocoop data check "
            f"{shlex.quote(command.name)} --skip{some}"
        )

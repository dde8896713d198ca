"""What can be said to `mocoop data`; the help texts are made from these fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from mocoop.cli.option_types import MaybeInt, MaybePath

SetName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]


@dataclass(frozen=True)
class _Root:
    """Options that every part of the command has."""

    root: MaybePath = None
    """Folder of the benchmark sets; MOCOOP_DATA or ./data if left out."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class ListData(_Root):
    """List every data set: what is found, where, and what is missing."""


@dataclass(frozen=True)
class CheckData(_Root):
    """Open every image of a data set; count, and compare with the published counts.

    Ends with code 2 if anything is missing, unreadable or not as published.
    """

    name: SetName = ""
    """Built-in or benchmark set, folder of images, or table (CSV, TSV, Parquet)."""
    skip: bool = False
    """Leave the images that cannot be read out from now on: lists them in mocoop-skip.txt."""
    workers: MaybeInt = None
    """Processes that decode images; as many as serve here if left out."""


@dataclass(frozen=True)
class DownloadData(_Root):
    """Fetch a benchmark set to where MoCoOp looks for it; its terms of use are shown first.

    A download that was stopped goes on where it was.
    """

    name: SetName = ""
    """Benchmark set."""
    yes: bool = False
    """Accept the terms without being asked."""


@dataclass(frozen=True)
class ShowData(_Root):
    """Describe a data set, and write a contact sheet of its pictures."""

    name: SetName = ""
    """Built-in or benchmark set, folder of images, or table (CSV, TSV, Parquet)."""
    sheet: MaybePath = None
    """PNG file of the contact sheet; none is written if left out."""
    split: Literal["", "train", "val", "test"] = ""
    """Which pictures; the first split that has any if left out."""


@dataclass(frozen=True)
class ProposeGroups(_Root):
    """Propose groups of templates for a data set, chosen on its training images.

    A group is offered as long as it raises the log-probability of the right class (in nats).
    """

    name: SetName = ""
    """Built-in or benchmark set, folder of images, or table (CSV, TSV, Parquet)."""
    backbone: str = "demo"
    """The CLIP that compares: `demo`, an open_clip NAME/TAG, or a local checkpoint folder."""
    count: int = 6
    """How many groups at most."""
    write: bool = False
    """Add them to mocoop.yaml in the data set's folder, which then uses them."""
    replace: bool = False
    """As --write, in place of groups that are there; the old file is kept as mocoop.yaml.bak."""


DataCommand = Annotated[
    Annotated[ListData, tyro.conf.subcommand("list")]
    | Annotated[CheckData, tyro.conf.subcommand("check")]
    | Annotated[DownloadData, tyro.conf.subcommand("download")]
    | Annotated[ShowData, tyro.conf.subcommand("show")]
    | Annotated[ProposeGroups, tyro.conf.subcommand("groups")],
    None,
]

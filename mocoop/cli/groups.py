"""What `mocoop data groups` does: propose groups of templates, and keep them where asked."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import tyro

from mocoop.cli.console import print_json
from mocoop.cli.option_types import MaybePath
from mocoop.errors import UserError

if TYPE_CHECKING:
    from mocoop.analysis.group_proposals import Proposed
    from mocoop.datasets import Dataset


UNIT = (
    "# nats: what a group adds to the log-probability of the right class, on average over the\n"
    "# training images asked; 0.1 more is about 10 % more probability."
)
SetName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]


@dataclass(frozen=True)
class DataOptions:
    """Options that every part of the command has."""

    root: MaybePath = None
    """Folder of the benchmark sets; MOCOOP_DATA or ./data if left out."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class ProposeGroups(DataOptions):
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


def propose(command: ProposeGroups) -> None:
    """Prints proposed groups, and writes them to mocoop.yaml where that is asked for.

    Raises:
        UserError: for a set that does not fit, or groups of one's own that would be lost.
    """
    from mocoop.datasets import load_dataset

    write = command.write or command.replace
    dataset = load_dataset(command.name, command.root)
    if write:
        _check_writable(dataset, command.replace)
    from mocoop.analysis.group_proposals import propose_groups
    from mocoop.clip.backbone import load_backbone
    from mocoop.datasets import BUILTIN
    from mocoop.features.cache import FeatureCache
    from mocoop.storage.yaml_text import as_yaml

    backbone = load_backbone(command.backbone, "auto")
    if backbone.name == "demo" and dataset.name not in BUILTIN:
        print(
            "warning: the built-in CLIP knows only its own drawings, so what it says of other "
            "images is little more than chance. Name a real one with --backbone.",
            file=sys.stderr,
        )
    proposed = propose_groups(backbone, dataset, FeatureCache(backbone), command.count)
    if command.json:
        print_json(asdict(proposed))
    elif proposed.enough:
        print(_reasons(proposed, command.count))
        groups = {name: list(templates) for name, templates in proposed.groups.items()}
        print(as_yaml({"groups": groups}), end="")
    else:
        print("No second group helps on these images: the set's own groups are kept.")
    if write and proposed.enough:
        _write(dataset, proposed, quiet=command.json)


def _check_writable(dataset: Dataset, may_replace: bool) -> None:
    """Raises UserError unless groups can be kept beside a set's images."""
    from mocoop.datasets.edits import BACKUP_FILE, EDITS_FILE, read_edits
    from mocoop.datasets.folder import FolderDataset

    if not isinstance(dataset, FolderDataset):
        raise UserError(f"{dataset.name} is built in and keeps its groups: leave --write out.")
    if read_edits(dataset.edits_folder).groups is not None and not may_replace:
        raise UserError(
            f"{dataset.edits_folder / EDITS_FILE} has groups already. Replace them with "
            f"--replace, which keeps the old file as {BACKUP_FILE}, or leave --write out."
        )


def _write(dataset: Dataset, proposed: Proposed, quiet: bool) -> None:
    """Keeps groups in the set's mocoop.yaml."""
    from mocoop.datasets.edits import read_edits, write_edits
    from mocoop.datasets.folder import FolderDataset

    assert isinstance(dataset, FolderDataset)
    folder = dataset.edits_folder
    file = write_edits(folder, replace(read_edits(folder), groups=proposed.groups))
    if not quiet:
        print(f"# written to {file}")


def _reasons(proposed: Proposed, count: int) -> str:
    """Returns a comment line for each group, and why there are not more."""
    lines = []
    for index, (name, share) in enumerate(proposed.shares.items()):
        adds = f"adds {proposed.gains[name]:.3f} nats" if index else "the best one alone"
        lines.append(f"# {name}: {adds}; taken by {100 * share:.0f} % of the images")
    if len(lines) < count:
        lines.append("# No further group helps.")
    return "\n".join([*lines, UNIT])

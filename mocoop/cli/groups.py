"""The command `mocoop data groups`: proposes groups of templates, and saves them on request."""

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
    from mocoop.clip.backbone import Backbone
    from mocoop.datasets import Dataset
    from mocoop.templates import Groups


UNIT = (
    "# nats: by how much a group raises the log-probability of the correct class, as a mean over\n"
    "# the training images used; 0.1 nats is about 10 % more probability."
)
SetName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]


@dataclass(frozen=True)
class DataOptions:
    """Options of every subcommand of `mocoop data`."""

    root: MaybePath = None
    """Folder of the benchmark sets; by default MOCOOP_DATA or ./data."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class ProposeGroups(DataOptions):
    """Propose groups of templates for a data set, chosen on its training images.

    Groups are added as long as they raise the log-probability of the correct class (in nats).
    """

    name: SetName = ""
    """Built-in or benchmark set, folder of images, or table (CSV, TSV, Parquet)."""
    backbone: str = "demo"
    """The CLIP that scores the templates: `demo`, an open_clip NAME/TAG, or a local checkpoint
    folder."""
    count: int = 6
    """Largest number of groups."""
    write: bool = False
    """Write the groups to mocoop.yaml in the data set's folder. The data set then uses them."""
    replace: bool = False
    """Like --write, but replace existing groups. The old file is kept as mocoop.yaml.bak."""


def propose(command: ProposeGroups) -> None:
    """Prints proposed groups, and writes them to mocoop.yaml with --write or --replace.

    Raises:
        UserError: if the data set is not valid, or the user's own groups would be lost.
    """
    from mocoop.datasets import load_dataset

    write = command.write or command.replace
    dataset = load_dataset(command.name, command.root)
    if write:
        check_writable(dataset, command.replace)
    from mocoop.analysis.group_proposals import propose_groups
    from mocoop.clip.backbone import load_backbone
    from mocoop.features.cache import FeatureCache
    from mocoop.storage.yaml_text import as_yaml

    backbone = load_backbone(command.backbone, "auto")
    warn_of_demo(backbone, dataset)
    proposed = propose_groups(backbone, dataset, FeatureCache(backbone), command.count)
    if command.json:
        print_json(asdict(proposed))
    elif proposed.enough:
        print(_reasons(proposed, command.count))
        groups = {name: list(templates) for name, templates in proposed.groups.items()}
        print(as_yaml({"groups": groups}), end="")
    else:
        print("No second group helps on these images: the data set keeps its own groups.")
    if write and proposed.enough:
        write_groups(dataset, proposed.groups, quiet=command.json)


def warn_of_demo(backbone: Backbone, dataset: Dataset) -> None:
    """Prints a warning if the built-in CLIP is used for images that are not built in."""
    from mocoop.datasets import is_builtin

    if backbone.name == "demo" and not is_builtin(dataset.source):
        print(
            "warning: the built-in CLIP was trained only on its own drawings. On other images it "
            "is little better than chance. Choose another CLIP with --backbone.",
            file=sys.stderr,
        )


def check_writable(dataset: Dataset, may_replace: bool) -> None:
    """Raises UserError unless groups can be written to the data set's folder."""
    from mocoop.datasets.edits import BACKUP_FILE, EDITS_FILE
    from mocoop.datasets.folder import FolderDataset

    if not isinstance(dataset, FolderDataset):
        raise UserError(
            f"{dataset.name} is built in, and its groups cannot be changed. Leave --write out."
        )
    if dataset.edits().groups is not None and not may_replace:
        raise UserError(
            f"{dataset.edits_folder / EDITS_FILE} has groups already. Replace them with "
            f"--replace (the old file is kept as {BACKUP_FILE}), or leave --write out."
        )


def write_groups(dataset: Dataset, groups: Groups, quiet: bool) -> None:
    """Writes groups to the data set's mocoop.yaml."""
    from mocoop.datasets.edits import write_edits
    from mocoop.datasets.folder import FolderDataset

    assert isinstance(dataset, FolderDataset)
    folder = dataset.edits_folder
    file = write_edits(folder, replace(dataset.edits(), groups=groups))
    if not quiet:
        print(f"# written to {file}")


def _reasons(proposed: Proposed, count: int) -> str:
    """Returns a comment line for each group, and one that says why there are no more groups."""
    lines = []
    for index, (name, share) in enumerate(proposed.shares.items()):
        adds = f"adds {proposed.gains[name]:.3f} nats" if index else "the best single group"
        lines.append(f"# {name}: {adds}; best for {100 * share:.0f} % of the images")
    if len(lines) < count:
        lines.append("# No further group helps.")
    return "\n".join([*lines, UNIT])

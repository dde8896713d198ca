"""The command data: lists, checks, downloads and shows data sets, and makes their templates."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mocoop.cli.console import counted, print_json, progress_bar
from mocoop.cli.encode import EncodeData, encode
from mocoop.cli.groups import DataOptions, ProposeGroups, SetName
from mocoop.cli.option_types import MaybeInt, MaybePath
from mocoop.cli.output_paths import check_file
from mocoop.cli.template_comparison import CompareTemplates
from mocoop.cli.templates import MakeTemplates
from mocoop.cli.unpacked import UnpackedData, show_unpacked
from mocoop.errors import UserError

if TYPE_CHECKING:
    from mocoop.catalog.check import Report


_SHOWN = 10  # lines that a report prints of each kind of problem


@dataclass(frozen=True)
class ListData(DataOptions):
    """List every data set: whether it was found, where, and what is missing."""


@dataclass(frozen=True)
class CheckData(DataOptions):
    """Open every image of a data set, count the images, and compare with published counts.

    The exit code is 2 if an image is missing or unreadable, or a count is not as published.
    """

    name: SetName = ""
    """Built-in or benchmark set, folder of images, or table (CSV, TSV, Parquet)."""
    skip: bool = False
    """Skip unreadable and missing images from now on: write their names to mocoop-skip.jsonl."""
    workers: MaybeInt = None
    """Processes that decode images; by default a number that suits this machine."""


@dataclass(frozen=True)
class DownloadData(DataOptions):
    """Download a benchmark set to the folder where MoCoOp looks for it.

    The terms of use are shown first. An interrupted download continues where it stopped.
    """

    name: SetName = ""
    """Benchmark set."""
    yes: bool = False
    """Accept the terms of use without a question."""


@dataclass(frozen=True)
class ShowData(DataOptions):
    """Describe a data set, and write a contact sheet of its images with --sheet."""

    name: SetName = ""
    """Built-in or benchmark set, folder of images, or table (CSV, TSV, Parquet)."""
    sheet: MaybePath = None
    """PNG file for the contact sheet; by default none is written."""
    split: Literal["", "train", "val", "test"] = ""
    """Split of the images on the sheet; by default the first split that has any."""


DataCommand = Annotated[
    Annotated[ListData, tyro.conf.subcommand("list")]
    | Annotated[CheckData, tyro.conf.subcommand("check")]
    | Annotated[DownloadData, tyro.conf.subcommand("download")]
    | Annotated[ShowData, tyro.conf.subcommand("show")]
    | Annotated[EncodeData, tyro.conf.subcommand("encode")]
    | Annotated[ProposeGroups, tyro.conf.subcommand("groups")]
    | Annotated[MakeTemplates, tyro.conf.subcommand("templates")]
    | Annotated[CompareTemplates, tyro.conf.subcommand("compare")]
    | Annotated[UnpackedData, tyro.conf.subcommand("unpacked")],
    None,
]


def data(
    command: ListData
    | CheckData
    | DownloadData
    | ShowData
    | EncodeData
    | ProposeGroups
    | MakeTemplates
    | CompareTemplates
    | UnpackedData,
) -> None:
    """Runs a subcommand of `mocoop data`.

    Raises:
        UserError: if the data set is not valid, or if a check found a problem.
    """
    match command:
        case ListData():
            _list(command)
        case CheckData():
            _check(command)
        case DownloadData():
            _download(command)
        case ShowData():
            _show(command)
        case EncodeData():
            encode(command)
        case ProposeGroups():
            from mocoop.cli.groups import propose

            _named(command.name)
            propose(command)
        case MakeTemplates():
            from mocoop.cli.templates import make

            _named(command.name)
            make(command)
        case CompareTemplates():
            from mocoop.cli.template_comparison import compare

            compare(command)
        case UnpackedData():
            show_unpacked(command)


def _list(command: ListData) -> None:
    from mocoop.catalog.inventory import inventory

    states = inventory(command.root)
    if command.json:
        print_json([asdict(state) for state in states])
        return
    for state in states:
        print(f"{state.name:<16} {state.state:<9} {state.words}")
        if state.next_step:
            print(f"{'':<26} {state.next_step}")


def _check(command: CheckData) -> None:
    from mocoop.datasets import load_dataset
    from mocoop.datasets.folder import FolderDataset
    from mocoop.datasets.skip_list import add_skipped

    if command.workers is not None and command.workers < 0:
        raise UserError(f"--workers must be at least 0; got {command.workers}.")
    dataset = load_dataset(_named(command.name), command.root, whole=False)
    from mocoop.catalog.check import check
    from mocoop.storage.cache_folder import default_cache

    with progress_bar(not command.json, "opening images") as progress:
        report = check(dataset, default_cache(), command.workers, progress)
    broken = dict.fromkeys(report.missing, "no such file") | report.unreadable
    if command.json:
        print_json(asdict(report) | {"clean": report.clean})
    else:
        _print_report(report)
    if command.skip and broken and isinstance(dataset, FolderDataset):
        file = add_skipped(dataset.edits_folder, broken)
        if not command.json:
            verb = "is" if len(broken) == 1 else "are"
            print(f"{counted(len(broken), 'image')} {verb} skipped from now on, see {file}")
        return
    if not report.clean:
        them, verb = ("it", "is") if len(broken) == 1 else ("them", "are")
        number = counted(len(broken), "image")
        advice = (
            f" Replace {number} that {verb} missing or unreadable, or skip {them} with --skip."
        )
        raise UserError(f"{report.name} has problems, see above.{advice if broken else ''}")


def _print_report(report: Report) -> None:
    print(report.name)
    for remark in report.remarks:
        print(f"  {remark}")
    for part in report.counts:
        published = ""
        if part.published is not None:
            mark = "as published" if part.right else f"published: {part.published}"
            published = f"  ({mark})"
        print(f"  {part.what:<8} {part.found:>9,}{published}")
    _print_extremes(report.per_class)
    _print_some("missing", report.missing)
    _print_some("cannot be read", _reasons(report.unreadable))
    pairs = [f"{trained} = {tested}" for trained, tested in report.duplicates]
    _print_some("warning: the same image in training and test", pairs)
    pairs = [f"{one} = {other}" for one, other in report.two_classes]
    _print_some("warning: the same training image in two classes", pairs)
    if report.clean:
        print("  clean: every image exists and can be read")


def _print_extremes(per_class: Mapping[str, Mapping[str, int]]) -> None:
    """Prints the classes with the fewest and the most images, or that all are equal."""
    totals = {name: sum(counts.values()) for name, counts in per_class.items()}
    smallest, largest = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
    if totals[smallest] == totals[largest]:
        print(f"  every class has {counted(totals[smallest], 'image')}")
        return
    for word, name in (("fewest", smallest), ("most", largest)):
        counts = ", ".join(f"{count} {split}" for split, count in per_class[name].items())
        print(f"  {word} images: {name} ({counts})")


def _reasons(unreadable: Mapping[str, str]) -> list[str]:
    """Returns a line for each unreadable image, without a second path inside the reason."""
    lines = []
    for path, why in unreadable.items():
        before, separator, rest = why.partition(": ")
        lines.append(f"{path}: {rest if separator and before.endswith(path) else why}")
    return lines


def _print_some(title: str, lines: list[str] | tuple[str, ...]) -> None:
    if not lines:
        return
    print(f"  {title}: {len(lines)}")
    for line in lines[:_SHOWN]:
        print(f"    {line}")
    if len(lines) > _SHOWN:
        print(f"    … and {len(lines) - _SHOWN} more (all of them with --json)")


def _download(command: DownloadData) -> None:
    from mocoop.catalog.download import address, download, source_of, to_fetch
    from mocoop.catalog.inventory import find
    from mocoop.datasets.benchmarks import data_root

    name = _named(command.name)
    source, root = source_of(name), command.root or data_root()
    wanted = to_fetch(name, root)
    if not command.json:
        print(f"{name}: {source.page}")
        print(f"  terms: {source.terms}")
        for remote in wanted:
            print(f"  {address(remote)}\n    to {root / remote.to}")
        if source.by_hand:
            print(f"  to do yourself: {source.by_hand}")
    if wanted and not command.yes:
        _ask(name)
    with progress_bar(not command.json, "downloading", "B") as bar:
        new = download(name, root, lambda file, done, size: bar(done, size or 0))
    state = find(name, root)
    complete = state.state == "ready"
    if command.json:
        print_json({"name": name, "root": str(root), "new": new, "complete": complete})
    elif complete:
        print(f"  complete. Check it with: mocoop data check {name}")
    else:
        print(f"  still to do yourself: {source.by_hand or state.words}")


def _ask(name: str) -> None:
    """Raises UserError unless the user accepts the terms at the prompt."""
    if not sys.stdin.isatty():
        raise UserError(
            f"Cannot ask whether you accept the terms of {name}, because the input is not a "
            "terminal. Read the terms above, then add --yes."
        )
    answer = input("Accept these terms and download the files? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError("The terms were not accepted, so nothing was downloaded.")


def _show(command: ShowData) -> None:
    from mocoop.catalog.contact_sheet import contact_sheet
    from mocoop.datasets import load_dataset
    from mocoop.storage.atomic import atomic_write

    if command.sheet is not None and command.sheet.suffix.lower() != ".png":
        raise UserError(
            f"--sheet: expected a PNG file, got {command.sheet}. Use a name that ends in .png."
        )
    check_file("--sheet", command.sheet)
    dataset = load_dataset(_named(command.name), command.root)
    if command.sheet is not None:
        sheet = contact_sheet(dataset, command.split)
        with atomic_write(command.sheet) as temporary:
            sheet.save(temporary, "PNG")
    described: dict[str, Any] = {
        "name": dataset.name,
        "classes": len(dataset.class_names),
        "splits": {split: len(items) for split, items in dataset.splits.items()},
        "styles": list(dataset.styles),
        "layout": getattr(dataset, "layout", ""),
        "left_aside": getattr(dataset, "aside", {}),
        "remarks": list(dataset.remarks),
        "class_names": list(dataset.class_names),
        "zero_shot": dataset.templates.zero_shot,
        "groups": {name: list(ts) for name, ts in dataset.templates.groups.items()},
    }
    if command.json:
        print_json(described)
        return
    counts = ", ".join(f"{count} {split}" for split, count in described["splits"].items())
    print(f"{dataset.name}: {len(dataset.class_names)} classes, {counts}")
    for remark in dataset.remarks:
        print(f"  {remark}")
    print("classes:", ", ".join(dataset.class_names))
    print("groups: ", ", ".join(dataset.templates.groups))
    if dataset.styles:
        print("styles: ", ", ".join(dataset.styles))
    if command.sheet is not None:
        print(f"contact sheet: {command.sheet}")


def _named(name: str) -> str:
    if not name:
        raise UserError("Expected the name of a data set, or the path of a folder of images.")
    return name

"""What the command bench does."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mocoop.cli.console import print_json
from mocoop.cli.option_types import MaybeInt, MaybePath
from mocoop.cli.output_paths import check_folder
from mocoop.errors import UserError

if TYPE_CHECKING:
    from mocoop.bench.page import Files


PROJECT_FOLDER = Path("assets/bench")


@dataclass(frozen=True)
class BenchCommand:
    """Measure a training step, the plain path against ours, and print a table.

    Each side runs in a process of its own, by turns. The plain path is left out where it would
    not fit the free memory. Nothing is written unless --out or --write asks for it.

    On 2 cores --quick takes about 3 minutes, everything half an hour to an hour.

    Examples:
        mocoop bench --quick
        mocoop bench --threads 2 --out ~/measured
    """

    quick: bool = False
    """Three small sizes, two rounds each: about 3 minutes on 2 cores."""
    out: MaybePath = None
    """Folder to write page, JSON and curves to: BENCHMARKS.md, bench.json and scaling.png, or
    bench-quick.md, .json and .png. They are written at the end; until then, what is measured
    so far is kept there as .partial.json."""
    write: bool = False
    """In a checkout: replace the project's own BENCHMARKS.md and assets/bench at the end, with
    the remarks of assets/bench/notes.md. Not with --quick."""
    backbone: str = "ViT-B-16"
    """An open_clip architecture (random weights cost what real ones cost), `demo`, or the path
    of a local checkpoint."""
    repeats: MaybeInt = None
    """Rounds of each size; the medians are over them. By default 5, with --quick 2."""
    limit: float = 180.0
    """Seconds after which no further round of the same size is begun."""
    threads: int = 2
    """Processor threads of each side."""
    device: str = "cpu"
    """`cpu`, `cuda` ..."""
    json: bool = False
    """Print the measurements as one JSON document."""


def bench(command: BenchCommand) -> None:
    """Measures steps, prints the table, and writes the page where that is asked for.

    Raises:
        UserError: for a backbone or device that does not exist, numbers that are too small, or
            files that may not or cannot be written there.
    """
    _check(command)
    import open_clip

    from mocoop.bench.page import as_document, screen_text, write_page
    from mocoop.bench.runner import QUICK_REPEATS, REPEATS, Measured, machine, measure, plan
    from mocoop.clip.backbone import choose_device, load_backbone
    from mocoop.storage.atomic import write_json

    choose_device(command.device)
    if command.backbone not in open_clip.list_models():
        load_backbone(command.backbone)  # says what is wrong before anything is measured
    found = machine()
    repeats = command.repeats or (QUICK_REPEATS if command.quick else REPEATS)
    chosen = plan(
        command.backbone, command.device, command.threads, repeats, command.limit, command.quick
    )

    def tell(text: str) -> None:
        if not command.json:
            print(text, file=sys.stderr, flush=True)

    files = _files(command)
    duration = "about 3 minutes" if command.quick else "half an hour to an hour"
    tell(f"{len(chosen.cases)} sizes, up to {repeats} rounds each: {duration} on 2 free cores")
    results: list[Measured] = []
    try:
        for results in measure(chosen, tell):
            if files is not None:
                write_json(files.partial, as_document(results, found))
    except KeyboardInterrupt:
        if results:
            tell(f"stopped; measured so far:\n{screen_text(results)}")
        if results and files is not None:
            tell(f"kept: {files.partial}")
        raise
    if files is not None:
        notes = PROJECT_FOLDER / "notes.md"
        own = command.write and notes.is_file()
        write_page(results, found, files, notes.read_text(encoding="utf-8") if own else "")
    if command.json:
        print_json(as_document(results, found))
        return
    print(screen_text(results))
    if files is not None:
        print(f"written: {files.page}, {files.data}, {files.picture}")


def _check(command: BenchCommand) -> None:
    """Raises UserError for options that make no sense, before anything slow is done."""
    for name, value in (("repeats", command.repeats), ("threads", command.threads)):
        if value is not None and value < 1:
            raise UserError(f"{name} must be at least 1; got {value}.")
    if command.write and (command.quick or command.out is not None):
        other = "--quick" if command.quick else "--out"
        raise UserError(
            f"--write replaces the project's own page with the whole measurement and does not go "
            f"with {other}. Leave one of them out; --out FOLDER writes anywhere else."
        )
    if command.write and not PROJECT_FOLDER.is_dir():
        raise UserError(
            f"--write replaces BENCHMARKS.md and {PROJECT_FOLDER} of a checkout; there is none in "
            f"{Path.cwd()}. Run it in the checkout's folder, or use --out FOLDER."
        )
    if command.out is not None and command.out.suffix == ".md":
        raise UserError(f"--out: expected a folder, got {command.out}. The page's name is given.")
    check_folder("--out", command.out)


def _files(command: BenchCommand) -> Files | None:
    """Returns where the measurement is written; None for nowhere."""
    from mocoop.bench.page import Files

    if command.write:
        return Files(
            Path("BENCHMARKS.md"), PROJECT_FOLDER / "bench.json", PROJECT_FOLDER / "scaling.png"
        )
    return None if command.out is None else Files.in_folder(command.out, command.quick)

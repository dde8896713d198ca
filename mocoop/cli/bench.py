"""The command bench: measures the speed and memory of a training step."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mocoop.cli.console import print_json
from mocoop.cli.option_types import MaybeInt, MaybePath
from mocoop.cli.output_paths import check_folder
from mocoop.errors import UserError, choose_from

if TYPE_CHECKING:
    from mocoop.bench.page import Files


PROJECT_FOLDER = Path("assets/bench")
METHOD_ROUNDS = 3  # with --methods


@dataclass(frozen=True)
class BenchCommand:
    """Measure a training step of the plain path and of MoCoOp's fast path, and print a table.

    The two paths run by turns, each in its own process. The plain path is left out if it does
    not fit into the free memory. Files are written only with --out or --write.

    On 2 cores, --quick takes about 3 minutes; the full measurement takes 30 to 60 minutes.

    With --methods it measures a step of every method that learns in the image tower and of the
    mixtures instead, in batches of 4, and a step of DPL's search.

    Examples:
        mocoop bench --quick
        mocoop bench --methods --threads 1 --out ~/measured
        mocoop bench --threads 2 --out ~/measured
    """

    quick: bool = False
    """Measure only three small sizes with two rounds each: about 3 minutes on 2 cores."""
    methods: bool = False
    """Measure a step of every method: 100 classes, 4 experts in a mixture, batches of 4 images,
    three rounds. The files of --out are bench-methods.md and .json. On 2 cores, it takes about
    half an hour."""
    only: tuple[str, ...] = ()
    """With --methods: measure only these; by default all that are named there."""
    classes: int = 100
    """With --methods: the number of classes."""
    experts: int = 4
    """With --methods: the number of experts of a mixture."""
    out: MaybePath = None
    """Folder for the page, the JSON file and the plot: BENCHMARKS.md, bench.json and
    scaling.png; with --quick bench-quick.md, .json and .png. They are written at the end.
    Until then, a .partial.json file there holds the measurements so far."""
    write: bool = False
    """Replace the project's own BENCHMARKS.md and assets/bench at the end, with the remarks of
    assets/bench/notes.md. Needs a checkout of the repository. Not with --quick."""
    backbone: str = "ViT-B-16"
    """An open_clip architecture (with random weights, which are as fast as trained ones),
    `demo`, or the path of a local checkpoint."""
    repeats: MaybeInt = None
    """Rounds of each size; the table shows the median over rounds. By default 5; 2 with
    --quick; 3 with --methods."""
    limit: float = 180.0
    """Seconds per size; after them, no further round of this size is started."""
    threads: int = 2
    """CPU threads of each process."""
    device: str = "cpu"
    """`cpu`, `cuda` ..."""
    json: bool = False
    """Print the measurements as one JSON document."""


def bench(command: BenchCommand) -> None:
    """Measures training steps, prints the table, and writes the page with --out or --write.

    Raises:
        UserError: if the backbone or the device does not exist, a number is too small, or the
            files cannot be written.
    """
    _check(command)
    if command.methods:
        _bench_methods(command)
        return
    import open_clip

    from mocoop.bench.page import as_document, screen_text, write_page
    from mocoop.bench.runner import QUICK_REPEATS, REPEATS, Measured, machine, measure, plan
    from mocoop.clip.backbone import choose_device, load_backbone
    from mocoop.storage.atomic import write_json

    choose_device(command.device)
    if command.backbone not in open_clip.list_models():
        load_backbone(command.backbone)  # reports an error before anything is measured
    this_machine = machine()
    repeats = command.repeats or (QUICK_REPEATS if command.quick else REPEATS)
    chosen = plan(
        command.backbone, command.device, command.threads, repeats, command.limit, command.quick
    )

    def report(text: str) -> None:
        if not command.json:
            print(text, file=sys.stderr, flush=True)

    files = _files(command)
    duration = "about 3 minutes" if command.quick else "30 to 60 minutes"
    report(f"{len(chosen.cases)} sizes, up to {repeats} rounds each: {duration} on 2 idle cores")
    results: list[Measured] = []
    try:
        for results in measure(chosen, report):
            if files is not None:
                write_json(files.partial, as_document(results, this_machine))
    except KeyboardInterrupt:
        if results:
            report(f"stopped; measurements so far:\n{screen_text(results)}")
        if results and files is not None:
            report(f"saved: {files.partial}")
        raise
    if files is not None:
        notes = PROJECT_FOLDER / "notes.md"
        own = command.write and notes.is_file()
        remarks = notes.read_text(encoding="utf-8") if own else ""
        write_page(results, this_machine, files, remarks)
    if command.json:
        print_json(as_document(results, this_machine))
        return
    print(screen_text(results))
    if files is not None:
        print(f"saved: {files.page}, {files.data}, {files.picture}")


def _bench_methods(command: BenchCommand) -> None:
    """Measures a step of every method, prints the table, and writes the files of --out."""
    import open_clip

    from mocoop.bench.method_steps import (
        STEP_METHODS,
        measure_methods,
        methods_document,
        methods_page,
        methods_table,
    )
    from mocoop.bench.method_worker import MethodCase
    from mocoop.bench.runner import machine
    from mocoop.clip.backbone import choose_device, load_backbone
    from mocoop.storage.atomic import write_json, write_text

    for name in command.only:
        if name not in STEP_METHODS:
            raise choose_from("method of a step", name, STEP_METHODS)
    choose_device(command.device)
    if command.backbone not in open_clip.list_models():
        load_backbone(command.backbone)
    this_machine = machine()
    base = MethodCase(
        "ours", STEP_METHODS[0], command.classes, command.experts, backbone=command.backbone,
        threads=command.threads, device=command.device,
    )  # fmt: skip

    def report(text: str) -> None:
        if not command.json:
            print(text, file=sys.stderr, flush=True)

    rounds = command.repeats or METHOD_ROUNDS
    chosen = command.only or STEP_METHODS
    for results in measure_methods(base, chosen, rounds, command.limit, report):
        if command.out is not None:
            document = methods_document(results, this_machine)
            write_json(command.out / "bench-methods.json", document)
            write_text(command.out / "bench-methods.md", methods_page(results, this_machine))
    if command.json:
        print_json(methods_document(results, this_machine))
    else:
        print(methods_table(results))


def _check(command: BenchCommand) -> None:
    """Raises UserError for invalid options. Runs before anything slow."""
    for name in ("repeats", "threads", "classes", "experts"):
        value = getattr(command, name)
        if value is not None and value < 1:
            raise UserError(f"{name} must be at least 1; got {value}.")
    if command.only and not command.methods:
        raise UserError("--only chooses among the methods of --methods: add --methods.")
    if command.methods and (command.quick or command.write):
        other = "--quick" if command.quick else "--write"
        raise UserError(
            f"--methods measures other steps than {other}. Leave one of them out; --out FOLDER "
            "writes the table of --methods."
        )
    if command.write and (command.quick or command.out is not None):
        other = "--quick" if command.quick else "--out"
        raise UserError(
            f"--write replaces the project's own page with the full measurement and cannot be "
            f"used with {other}. Leave one of them out. To write elsewhere, use --out FOLDER."
        )
    if command.write and not PROJECT_FOLDER.is_dir():
        raise UserError(
            f"--write replaces BENCHMARKS.md and {PROJECT_FOLDER} in a checkout of the "
            f"repository, and {Path.cwd()} is none. Run it in the folder of a checkout, or use "
            "--out FOLDER."
        )
    if command.out is not None and command.out.suffix == ".md":
        raise UserError(f"--out: expected a folder, got {command.out}. File names are fixed.")
    check_folder("--out", command.out)


def _files(command: BenchCommand) -> Files | None:
    """Returns the files to write the measurement to; None to write nothing."""
    from mocoop.bench.page import Files

    if command.write:
        return Files(
            Path("BENCHMARKS.md"), PROJECT_FOLDER / "bench.json", PROJECT_FOLDER / "scaling.png"
        )
    return None if command.out is None else Files.in_folder(command.out, command.quick)

"""What the command bench does."""

from __future__ import annotations

from mocoop.errors import UserError
from mocoop.options import BenchCommand
from mocoop.report import print_json


def bench(command: BenchCommand) -> None:
    """Measures steps and writes the page.

    Raises:
        UserError: for a backbone or device that does not exist, or numbers that are too small.
    """
    import sys

    import open_clip

    from mocoop.backbone import choose_device, load_backbone
    from mocoop.bench import Measured, machine, measure, plan
    from mocoop.bench_page import as_row, write_page

    for name, value in (("repeats", command.repeats), ("threads", command.threads)):
        if value < 1:
            raise UserError(f"{name} must be at least 1; got {value}.")
    choose_device(command.device)
    if command.backbone not in open_clip.list_models():
        load_backbone(command.backbone)  # says what is wrong before anything is measured
    found = machine()
    chosen = plan(
        command.backbone,
        command.device,
        command.threads,
        command.repeats,
        command.limit,
        command.quick,
    )

    def tell(text: str) -> None:
        if not command.json:
            print(text, file=sys.stderr, flush=True)

    notes = command.folder / "notes.md"
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    results: list[Measured] = []
    for results in measure(chosen, tell):
        # Written again and again: what is measured stays when the rest is stopped.
        write_page(results, found, command.out, command.folder, text)
    if command.json:
        print_json({"machine": found, "results": [as_row(result) for result in results]})
    else:
        print(f"written: {command.out}, {command.folder / 'bench.json'}, scaling.png")

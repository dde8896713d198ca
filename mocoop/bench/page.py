"""The output of `mocoop bench`: a JSON file, a page of tables, and plots of the scaling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mocoop.bench.runner import GRID_CLASSES, GRID_EXPERTS, Measured
from mocoop.markdown import markdown_table
from mocoop.storage.atomic import atomic_write, write_json, write_text

NONE = "–"


@dataclass(frozen=True)
class Files:
    """The files that a measurement is written to."""

    page: Path
    """The Markdown file."""
    data: Path
    """The JSON file."""
    picture: Path
    """The PNG file with the plots of the scaling."""

    @classmethod
    def in_folder(cls, folder: Path, quick: bool) -> Files:
        """Returns the files in a folder; a quick measurement has other file names."""
        if quick:
            return cls(*(folder / f"bench-quick{end}" for end in (".md", ".json", ".png")))
        return cls(folder / "BENCHMARKS.md", folder / "bench.json", folder / "scaling.png")

    @property
    def partial(self) -> Path:
        """The JSON file with the measurements so far, while others are still to come."""
        return self.data.with_suffix(".partial.json")


def write_page(
    results: Sequence[Measured], machine: dict[str, Any], files: Files, notes: str
) -> None:
    """Writes the page, the JSON file and the plots, and deletes the partial JSON file.

    Args:
        results: the measurements.
        machine: the description of the machine, from `machine()`.
        files: the files to write.
        notes: Markdown to add at the end of the page.
    """
    write_json(files.data, as_document(results, machine))
    draw(results, files.picture)
    try:
        shown = files.picture.resolve().relative_to(files.page.resolve().parent)
    except ValueError:
        shown = files.picture.resolve()
    write_text(files.page, page_text(results, machine, str(shown), notes))
    files.partial.unlink(missing_ok=True)


def as_document(results: Sequence[Measured], machine: dict[str, Any]) -> dict[str, Any]:
    """Returns all measurements and the machine as a JSON document."""
    return {"machine": machine, "results": [as_row(result) for result in results]}


def screen_text(results: Sequence[Measured]) -> str:
    """Returns the table for the screen: cost of a step, and how much faster our path is."""
    heading = ("recipe", "classes", "experts", "path", "rounds", "s/step", "CPU s/step",
               "times faster", "peak memory")  # fmt: skip
    rows: list[tuple[str, ...]] = [heading]
    for r in results:
        case = r.case
        start = (
            case.recipe,
            str(case.classes),
            str(case.experts),
            f"{case.side} {case.precision}",
        )
        if not r.step:
            rows.append((*start, "0", f"not measured: {r.reason}"))
            continue
        same_recipe = [other for other in results if other.case.recipe == case.recipe]
        plain = _plain(same_recipe, case.classes, case.experts) if case.side == "ours" else None
        faster = f"{plain.cpu_seconds / r.cpu_seconds:.1f}" if plain else NONE
        rows.append((*start, str(len(r.step)), _short(r.seconds), _short(r.cpu_seconds),
                     faster, _bytes(r.peak_bytes)))  # fmt: skip
    full = [row for row in rows if len(row) == len(heading)]
    widths = [max(len(row[column]) for row in full) for column in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    )


def as_row(result: Measured) -> dict[str, Any]:
    """Returns a measurement as a JSON object, with its medians."""
    row = asdict(result)
    if result.step:
        row |= {
            "seconds": result.seconds,
            "cpu_seconds": result.cpu_seconds,
            "peak_bytes": result.peak_bytes,
            "share_of_product_rate": result.share,
            "beside_image_tower": result.beside_image,
        }
    return row


def page_text(
    results: Sequence[Measured], machine: dict[str, Any], picture: str, notes: str
) -> str:
    """Returns the page of results as Markdown."""
    case = results[0].case
    gpu = machine["gpu"] or "no GPU, so no GPU was measured"
    load, budget = machine["load"], machine["text_memory_gib"]
    shared = (
        f" Load of the machine at the start: {load:.1f}. Other programs on the same cores "
        "increase the wall-clock time, but hardly the CPU time."
    )
    lines = [
        "# Benchmarks",
        "",
        "Written by `mocoop bench`. It compares one optimiser step of the mixture on two paths: "
        "*plain* (77 tokens, one expert after the other, images encoded in every step) and "
        "*ours*, MoCoOp's fast path. The two paths run by turns, each in its own process. "
        "Numbers are medians. Weights are random, which does not change the cost. Memory is the "
        "peak above the loaded weights.",
        "",
        f"{machine['date']}; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB; {gpu}; torch {machine['torch']}; {case.backbone}, batch "
        f"{case.batch}, {case.threads} thread{'s' if case.threads > 1 else ''}."
        + (shared if load is not None else "")
        + (f" MOCOOP_TEXT_MEMORY was {budget} GiB." if budget else ""),
        "",
    ]
    for recipe, title in (("frozen", "Frozen image tower"), ("tuned", "Tuned LayerNorms")):
        rows = [r for r in results if r.case.recipe == recipe]
        if rows:
            lines += [f"## {title}", "", _table(rows), ""]
    lines += ["## Scaling", "", f"![Cost by classes and experts]({picture})", ""]
    lines += ["## Targets", "", _targets(results), ""]
    return "\n".join(lines) + ("\n" + notes.strip() + "\n" if notes.strip() else "")


def _table(rows: Sequence[Measured]) -> str:
    """Returns the Markdown table of some measurements."""
    heads = (
        "classes", "experts", "path", "rounds", "s/step", "CPU s/step", "times faster (CPU s)",
        "peak memory", "share of plain", "tokens", "10⁹ operations", "share of product rate",
        "step / image tower",
    )  # fmt: skip
    lines: list[tuple[object, ...]] = []
    for r in rows:
        case = r.case
        name = f"{case.side}, {case.precision}"
        start = (case.classes, case.experts, name)
        if not r.step:
            lines.append((*start, 0, f"not measured: {r.reason}", *[""] * 8))
            continue
        plain = _plain(rows, case.classes, case.experts)
        against = plain if plain is not None and case.side == "ours" else None
        cells = [
            str(len(r.step)),
            _short(r.seconds),
            _short(r.cpu_seconds),
            f"{against.cpu_seconds / r.cpu_seconds:.1f}" if against else NONE,
            _bytes(r.peak_bytes),
            f"{100 * r.peak_bytes / against.peak_bytes:.1f} %" if against else NONE,
            str(r.tokens),
            _short(r.operations / 1e9),
            NONE if r.share is None else f"{100 * r.share:.0f} %",
            NONE if r.beside_image is None else f"{r.beside_image:.2f}",
        ]
        lines.append((*start, *cells))
    return markdown_table(heads, lines, "rrl" + "r" * 10)


def _plain(rows: Sequence[Measured], classes: int, experts: int) -> Measured | None:
    """Returns the measurement of the plain path at a size; None if it was not measured."""
    for r in rows:
        if (r.case.side, r.case.classes, r.case.experts) == ("plain", classes, experts):
            return r if r.step else None
    return None


def _targets(results: Sequence[Measured]) -> str:
    """Returns the Markdown table of targets, measured values, and whether they were reached."""
    frozen = {
        (r.case.side, r.case.classes, r.case.experts): r
        for r in results
        if r.step and r.case.recipe == "frozen" and r.case.precision == "fp32"
    }
    tuned = {
        (r.case.precision, r.case.classes): r
        for r in results
        if r.step and r.case.recipe == "tuned" and r.case.side == "ours"
    }
    get = frozen.get
    speed = lambda c, e: _ratio(get(("plain", c, e)), get(("ours", c, e)), "cpu_seconds")
    halves = {
        (r.case.classes, r.case.experts): r
        for r in results
        if r.step and (r.case.side, r.case.recipe, r.case.precision) == ("ours", "frozen", "bf16")
    }
    half = lambda c, e: _ratio(get(("plain", c, e)), halves.get((c, e)), "cpu_seconds")
    six_experts = {size: get(("ours", *size)) for size in ((10, 6), (100, 6), (1000, 6))}
    shares = [r.share for r in frozen.values() if r.share is not None and r.tokens > 1000]
    per_class = [r.cpu_seconds / c for (c, _), r in six_experts.items() if r]
    per_expert = [r.cpu_seconds / e for e in GRID_EXPERTS if (r := get(("ours", 100, e)))]
    memory = _ratio(get(("ours", 100, 6)), get(("plain", 100, 6)), "peak_bytes")
    six_to_one = _ratio(get(("ours", 100, 6)), get(("plain", 100, 1)), "cpu_seconds")
    small_six = _ratio(get(("ours", 10, 6)), get(("plain", 10, 1)), "cpu_seconds")
    growth = lambda costs: max(costs) / costs[0] if len(costs) > 1 else None
    rows: list[tuple[str, float | None, Callable[[float], bool]]] = [
        ("10 classes, 6 experts: times faster (target: 30)", speed(10, 6), lambda x: x >= 30),
        ("the same in bf16", half(10, 6), lambda x: x >= 30),
        ("100 classes, 6 experts: times faster (target: 50)", speed(100, 6), lambda x: x >= 50),
        ("the same in bf16", half(100, 6), lambda x: x >= 50),
        ("100 classes, 6 experts: memory, ours / plain (target: 1/10)", memory,
         lambda x: x <= 0.1),
        ("10 classes: cost of ours with 6 experts / plain with 1 (target: 1)", small_six,
         lambda x: x <= 1),
        ("100 classes: cost of ours with 6 experts / plain with 1 (target: 1)", six_to_one,
         lambda x: x <= 1),
        ("a step's share of the product rate in fp32, smallest of steps with 1,000 tokens or "
         "more (target: 0.7)", min(shares) if shares else None, lambda x: x >= 0.7),
        ("cost per class of 6 experts, largest from 10 to 1000 classes / with 10 (target: 1)",
         growth(per_class), lambda x: x <= 1.0),
        ("cost per expert at 100 classes, largest from 1 to 20 experts / with 1 (target: 1)",
         growth(per_expert), lambda x: x <= 1.0),
    ]  # fmt: skip
    for precision in ("fp32", "bf16"):
        at = tuned.get((precision, 100))
        rows.append(
            (
                f"tuned, 100 classes, {precision}: step / image tower alone (target: 1.3)",
                at.beside_image if at else None,
                lambda x: x <= 1.3,
            )
        )
    lines = [
        (text, "not measured", NONE)
        if value is None
        else (text, f"{value:.2f}", "yes" if reached(value) else "no")
        for text, value, reached in rows
    ]
    return markdown_table(("target", "measured", "reached"), lines, "lrl")


def _ratio(one: Measured | None, other: Measured | None, what: str) -> float | None:
    if one is None or other is None:
        return None
    return getattr(one, what) / getattr(other, what)


def draw(results: Sequence[Measured], path: Path) -> None:
    """Writes the plots of the scaling: CPU time and memory by classes and by experts."""
    fp32 = [
        r for r in results if r.step and r.case.recipe == "frozen" and r.case.precision == "fp32"
    ]
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    for column, (by, other, fixed) in enumerate(
        (("classes", "experts", 6), ("experts", "classes", 100))
    ):
        for row, (label, value) in enumerate(
            (
                ("CPU seconds per step", lambda r: r.cpu_seconds),
                ("peak memory above weights, GB", lambda r: r.peak_bytes / 1e9),
            )
        ):
            _curve(axes[row][column], fp32, by, other, fixed, label, value)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _curve(
    axis: Axes,
    results: Sequence[Measured],
    by: str,
    other: str,
    fixed: int,
    label: str,
    value: Callable[[Measured], float],
) -> None:
    """Draws one panel with both paths.

    Args:
        axis: where to draw.
        results: the measurements.
        by: the field of `Case` on the x axis: classes or experts.
        other: the field that is fixed.
        fixed: its value.
        label: the label of the y axis.
        value: returns the value on the y axis.
    """
    for side, colour in (("plain", "#b3541e"), ("ours", "#1f5fa8")):
        chosen = [r for r in results if r.case.side == side and getattr(r.case, other) == fixed]
        points = sorted((getattr(r.case, by), value(r)) for r in chosen if value(r) > 0)
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", color=colour, label=side)
    if not axis.lines:
        axis.set_axis_off()
        axis.set_title(f"{fixed} {other}: not measured")
        return
    axis.set(xscale="log", yscale="log", xlabel=by, ylabel=label, title=f"{fixed} {other}")
    ticks = GRID_CLASSES if by == "classes" else GRID_EXPERTS
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(value: int) -> str:
    return f"{value / 1e9:.2f} GB"

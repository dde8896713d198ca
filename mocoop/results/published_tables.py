"""Published numbers as blocks and tables, marked as such, to stand beside our own."""

from __future__ import annotations

from collections.abc import Sequence

from mocoop.results import published
from mocoop.results.cells import Block, Cell, Line, Table

NOT_COMPARABLE = (
    "Published numbers are of ViT-B/16 on the usual benchmarks, not comparable in level with "
    "ours. "
)


def base_to_new_block() -> Block:
    """Returns the published averages (base, new, HM) over 11 benchmarks."""
    lines = tuple(
        _line(row.method, (row.base, row.new, row.harmonic_mean)) for row in published.BASE_TO_NEW
    )
    return Block(lines, f"Published: {published.SETTING}")


def published_domain_table() -> Table:
    """Returns the published accuracies from ImageNet to its four variants."""
    lines = tuple(
        _line(row.method, (row.imagenet, *row.targets)) for row in published.DOMAIN_GENERALIZATION
    )
    return Table(
        "published-domain-generalization",
        "Published domain generalisation: accuracy after training on ImageNet",
        f"ViT-B/16, 16 shots. {NOT_COMPARABLE}".strip(),
        ("method",),
        ("ImageNet", *published.DOMAINS),
        (Block(lines),),
    )


def _line(method: str, values: Sequence[float | None]) -> Line:
    """Returns the numbers with the digits of print, and words where they are not available."""
    cells = [Cell(v, digits=2) if v is not None else Cell(note="not available") for v in values]
    return Line((method,), tuple(cells))

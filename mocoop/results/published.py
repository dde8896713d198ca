"""Numbers from the literature, for comparison with our own tables. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mocoop.method_record import Paper
from mocoop.methods import CLIP, COCOOP, COOP, KGCOOP, LASP, PROGRAD
from mocoop.methods_of_mixtures import MOCOOP
from mocoop.results.cells import Block, Cell, Line, Table
from mocoop.results.marks import ALL_NAMES

SETTING = "ViT-B/16, 16 shots, average over 11 benchmarks"
DOMAINS = ("ImageNetV2", "ImageNet-Sketch", "ImageNet-A", "ImageNet-R")


@dataclass(frozen=True)
class BaseToNew:
    """A method's average over 11 data sets with ViT-B/16 and 16 shots, in percent."""

    method: str
    paper: Paper
    """The paper that introduced the method."""
    source: Paper | None
    """The paper that reports the numbers; None if they are not available."""
    base: float | None
    new: float | None
    harmonic_mean: float | None
    """Harmonic mean of mean base and mean new accuracy, as reported."""


@dataclass(frozen=True)
class DomainGeneralization:
    """Accuracies of a method trained on ImageNet with ViT-B/16 and 16 shots, in percent."""

    method: str
    paper: Paper
    """The paper that introduced the method."""
    source: Paper | None
    """The paper that reports the numbers; None if they are not available."""
    imagenet: float | None
    targets: tuple[float | None, ...]
    """One accuracy for each of `DOMAINS`."""


_MAPLE = Paper("MaPLe: Multi-modal Prompt Learning", "2210.03117")
_PROMPTSRC = Paper(
    "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", "2307.06948"
)

# The CoCoOp paper first reported CLIP and CoOp in this protocol; the KgCoOp paper reports
# ProGrad. MoCoOp's numbers are not available to us, so its cells stay empty.
BASE_TO_NEW = (
    BaseToNew("CLIP", CLIP, COCOOP, 69.34, 74.22, 71.70),
    BaseToNew("CoOp", COOP, COCOOP, 82.69, 63.22, 71.66),
    BaseToNew("CoCoOp", COCOOP, COCOOP, 80.47, 71.69, 75.83),
    BaseToNew("ProGrad", PROGRAD, KGCOOP, 82.48, 70.75, 76.16),
    BaseToNew("KgCoOp", KGCOOP, KGCOOP, 80.73, 73.60, 77.00),
    BaseToNew("MaPLe", _MAPLE, _MAPLE, 82.28, 75.14, 78.55),
    BaseToNew("LASP", LASP, LASP, 82.70, 74.90, 78.61),
    BaseToNew(f"LASP-V {ALL_NAMES}", LASP, LASP, 83.18, 76.11, 79.48),
    BaseToNew("PromptSRC", _PROMPTSRC, _PROMPTSRC, 84.26, 76.10, 79.97),
    BaseToNew("MoCoOp", MOCOOP, None, None, None, None),
)
DOMAIN_GENERALIZATION = (
    DomainGeneralization("CoOp", COOP, COCOOP, 71.51, (64.20, 47.99, 49.71, 75.21)),
    DomainGeneralization("CoCoOp", COCOOP, COCOOP, 71.02, (64.07, 48.75, 50.63, 76.18)),
    DomainGeneralization("MoCoOp", MOCOOP, None, None, (None,) * len(DOMAINS)),
)
NOT_COMPARABLE = (
    "Published numbers are for ViT-B/16 on the usual benchmarks, so their level cannot be "
    "compared with ours. "
)


def base_to_new_block() -> Block:
    """Returns the published averages (base, new, HM) over 11 benchmarks."""
    lines = tuple(_line(row.method, (row.base, row.new, row.harmonic_mean)) for row in BASE_TO_NEW)
    return Block(lines, f"Published: {SETTING}")


def published_domain_table() -> Table:
    """Returns the published accuracies on four variants of ImageNet after training on ImageNet."""
    lines = tuple(_line(row.method, (row.imagenet, *row.targets)) for row in DOMAIN_GENERALIZATION)
    return Table(
        "published-domain-generalization",
        "Published domain generalisation: accuracy after training on ImageNet",
        f"ViT-B/16, 16 shots. {NOT_COMPARABLE}".strip(),
        ("method",),
        ("ImageNet", *DOMAINS),
        (Block(lines),),
    )


def _line(method: str, values: Sequence[float | None]) -> Line:
    """Returns a line of published numbers with two decimals, or "not available"."""
    cells = [Cell(v, digits=2) if v is not None else Cell(note="not available") for v in values]
    return Line((method,), tuple(cells))

"""Numbers from the literature beside which our own tables stand: data, never computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mocoop.results.cells import Block, Cell, Line, Table

SETTING = "ViT-B/16, 16 shots, average over 11 benchmarks"
DOMAINS = ("ImageNetV2", "ImageNet-Sketch", "ImageNet-A", "ImageNet-R")


@dataclass(frozen=True)
class Paper:
    """A paper that introduced a method or printed its numbers."""

    title: str
    arxiv: str
    """Number on arXiv, as in https://arxiv.org/abs/2109.01134."""


@dataclass(frozen=True)
class BaseToNew:
    """A method's average over 11 data sets with ViT-B/16 and 16 shots, in percent."""

    method: str
    paper: Paper
    """Where the method comes from."""
    source: Paper | None
    """Which paper printed the numbers; None where they are not available."""
    base: float | None
    new: float | None
    harmonic_mean: float | None
    """Of the mean base and the mean new accuracy, as printed."""


@dataclass(frozen=True)
class DomainGeneralization:
    """Accuracies of a method trained on ImageNet with 16 shots, ViT-B/16, in percent."""

    method: str
    paper: Paper
    """Where the method comes from."""
    source: Paper | None
    """Which paper printed the numbers; None where they are not available."""
    imagenet: float | None
    targets: tuple[float | None, ...]
    """One for each of `DOMAINS`."""


_CLIP = Paper(
    "Learning Transferable Visual Models From Natural Language Supervision", "2103.00020"
)
_COOP = Paper("Learning to Prompt for Vision-Language Models", "2109.01134")
_COCOOP = Paper("Conditional Prompt Learning for Vision-Language Models", "2203.05557")
_PROGRAD = Paper("Prompt-aligned Gradient for Prompt Tuning", "2205.14865")
_LASP = Paper(
    "LASP: Text-to-Text Optimization for Language-Aware Soft Prompting of Vision & Language "
    "Models",
    "2210.01115",
)
_MAPLE = Paper("MaPLe: Multi-modal Prompt Learning", "2210.03117")
_KGCOOP = Paper(
    "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", "2303.13283"
)
_PROMPTSRC = Paper(
    "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", "2307.06948"
)
_MOCOOP = Paper("Mixture of Prompt Learning for Vision Language Models", "2409.12011")


# CLIP and CoOp were first measured this way by the authors of CoCoOp, and ProGrad's numbers are
# those of the KgCoOp paper. MoCoOp's are not known here: left empty rather than guessed.
BASE_TO_NEW = (
    BaseToNew("CLIP", _CLIP, _COCOOP, 69.34, 74.22, 71.70),
    BaseToNew("CoOp", _COOP, _COCOOP, 82.69, 63.22, 71.66),
    BaseToNew("CoCoOp", _COCOOP, _COCOOP, 80.47, 71.69, 75.83),
    BaseToNew("ProGrad", _PROGRAD, _KGCOOP, 82.48, 70.75, 76.16),
    BaseToNew("KgCoOp", _KGCOOP, _KGCOOP, 80.73, 73.60, 77.00),
    BaseToNew("MaPLe", _MAPLE, _MAPLE, 82.28, 75.14, 78.55),
    BaseToNew("LASP", _LASP, _LASP, 82.70, 74.90, 78.61),
    BaseToNew("LASP-V", _LASP, _LASP, 83.18, 76.11, 79.48),
    BaseToNew("PromptSRC", _PROMPTSRC, _PROMPTSRC, 84.26, 76.10, 79.97),
    BaseToNew("MoCoOp", _MOCOOP, None, None, None, None),
)
DOMAIN_GENERALIZATION = (
    DomainGeneralization("CoOp", _COOP, _COCOOP, 71.51, (64.20, 47.99, 49.71, 75.21)),
    DomainGeneralization("CoCoOp", _COCOOP, _COCOOP, 71.02, (64.07, 48.75, 50.63, 76.18)),
    DomainGeneralization("MoCoOp", _MOCOOP, None, None, (None,) * len(DOMAINS)),
)
NOT_COMPARABLE = (
    "Published numbers are of ViT-B/16 on the usual benchmarks, not comparable in level with "
    "ours. "
)


def base_to_new_block() -> Block:
    """Returns the published averages (base, new, HM) over 11 benchmarks."""
    lines = tuple(_line(row.method, (row.base, row.new, row.harmonic_mean)) for row in BASE_TO_NEW)
    return Block(lines, f"Published: {SETTING}")


def published_domain_table() -> Table:
    """Returns the published accuracies from ImageNet to its four variants."""
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
    """Returns the numbers with the digits of print, and words where they are not available."""
    cells = [Cell(v, digits=2) if v is not None else Cell(note="not available") for v in values]
    return Line((method,), tuple(cells))

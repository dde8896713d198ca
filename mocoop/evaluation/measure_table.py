"""All measures, one record each: protocols, result tables and the Compare page read them here.

A new measure is one more record, with the function that computes it from classified images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mocoop.evaluation.evaluate import RoutedItems

HALVES = ("base", "new")
Section = Literal["accuracy", "beyond accuracy", "routing", "run"]


@dataclass(frozen=True)
class Measure:
    """A number that is measured of a run: how it is called, shown and computed."""

    name: str
    """In tables and CSV files: calibration error."""
    unit: str
    """`%`, `s`, or empty for a number from 0 to 1."""
    digits: int
    """Decimals shown."""
    better: int
    """1 where more is better, -1 where less is, 0 where that is not for us to say."""
    computed: str
    """How, in one sentence."""
    section: Section
    """Which tables it stands in."""
    path: tuple[str, ...] = ()
    """Keys that lead to it in a run's results on some classes (in section `run`: in the results
    of the whole run)."""
    compute: Callable[[RoutedItems], float | None] | None = None
    """From classified images, None where there is nothing to measure; without it, the evaluation
    computes it together with others."""
    always: bool = False
    """In the results of every run; one without it is of an earlier version."""
    chosen: bool = False
    """Of something that is chosen on validation images, whatever the method."""
    by_half: bool = False
    """Also told of the base and the new half on their own, as `calibration error, new`."""

    @property
    def label(self) -> str:
        """The name at the beginning of a title."""
        return f"{self.name[0].upper()}{self.name[1:]}"

    def read(self, results: Mapping[str, Any]) -> float | None:
        """Returns the measure from a run's results, None where the run has none.

        Args:
            results: on some classes; in section `run`, of the whole run.

        Raises:
            KeyError: if it is missing and every run should have it.
        """
        value: Any = results
        if not self.always and self.path[0] not in results:
            return None
        for key in self.path:
            value = value[key]
            if value is None or value == {}:
                return None
        return float(value)


def of_half(name: str, half: str) -> str:
    """Returns what a measure is called where it is told of one half of the classes."""
    return f"{name}, {half}"


_RECORDS = (
    Measure(
        "accuracy", "%", 1, 1, "Share of test images told right.", "accuracy", ("accuracy",),
        always=True,
    ),
    Measure("base", "%", 1, 1, "Accuracy on the base half, trained on.", "accuracy"),
    Measure("new", "%", 1, 1, "Accuracy on the new half, never trained on.", "accuracy"),
    Measure("HM", "%", 1, 1, "Harmonic mean of base and new.", "accuracy"),
    Measure(
        "macro-F1", "%", 1, 1,
        "Mean of the classes' F1, the harmonic mean of precision and recall.",
        "beyond accuracy", ("macro_f1",), by_half=True,
    ),
    Measure(
        "mean class accuracy", "%", 1, 1,
        "Mean of the classes' accuracies, however many images each has (mean per class).",
        "beyond accuracy", ("mean_class_accuracy",), by_half=True,
    ),
    Measure(
        "top-5 accuracy", "%", 1, 1,
        "Share of test images whose class is among the five most probable; with more than five "
        "classes.",
        "beyond accuracy", ("top5_accuracy",), by_half=True,
    ),
    Measure(
        "calibration error", "%", 1, -1,
        "Mean distance between top probability and accuracy over 15 bins (expected calibration "
        "error).",
        "beyond accuracy", ("calibration_error",), always=True, by_half=True,
    ),
    Measure(
        "style NMI", "", 3, 1,
        "Normalised mutual information of an image's first expert and its true style.",
        "beyond accuracy", ("style_nmi",), always=True,
    ),
    Measure(
        "routing entropy", "", 3, 0,
        "Mean entropy of the router's softmax over all experts, over that of an undecided router.",
        "beyond accuracy", ("routing", "entropy_share"), always=True,
    ),
    Measure(
        "routing load balance", "", 3, 0,
        "Entropy of the experts' mean weights, over that of even use.",
        "beyond accuracy", ("routing", "load_balance"), always=True,
    ),
    Measure(
        "guide agreement, first", "%", 1, 0,
        "Images whose best expert is also the best by the label-guided hard prompts.",
        "beyond accuracy", ("agreement", "first"), always=True,
    ),
    Measure(
        "guide agreement, chosen", "%", 1, 0,
        "Mean share of the chosen experts that the label-guided hard prompts would choose too.",
        "beyond accuracy", ("agreement", "overlap"), always=True,
    ),
    Measure(
        "router", "%", 1, 0, "Accuracy with the trained router.", "routing",
        ("routing_value", "router"),
    ),
    Measure(
        "uniform mixture", "%", 1, 0, "Accuracy with equal weight for all experts.", "routing",
        ("routing_value", "uniform"),
    ),
    Measure(
        "random expert", "%", 1, 0, "Mean accuracy of one expert alone.", "routing",
        ("routing_value", "random"),
    ),
    Measure(
        "best single expert", "%", 1, 0,
        "Accuracy of the one expert that is best on the validation images.", "routing",
        ("routing_value", "best_single"), chosen=True,
    ),
    Measure(
        "oracle", "%", 1, 0, "Images that at least one expert tells right: an upper bound.",
        "routing", ("routing_value", "oracle"),
    ),
    Measure(
        "training seconds", "s", 1, -1, "Time of the training, without the test.", "run",
        ("training_seconds",), always=True,
    ),
)  # fmt: skip
MEASURES = {record.name: record for record in _RECORDS}
"""Name → measure, in the order of tables and rows."""
_OF_HALVES = {
    of_half(record.name, half): replace(record, name=of_half(record.name, half), by_half=False)
    for record in _RECORDS
    if record.by_half
    for half in HALVES
}


def find_measure(name: str) -> Measure:
    """Returns the measure of a name; one that is not known has percent and no better or worse."""
    known = MEASURES.get(name) or _OF_HALVES.get(name)
    return known or Measure(name, "%", 1, 0, "", "beyond accuracy")


def in_section(section: Section) -> tuple[Measure, ...]:
    """Returns the measures of a section, in their order."""
    return tuple(measure for measure in MEASURES.values() if measure.section == section)


def computed_apart(found: RoutedItems) -> dict[str, float]:
    """Returns the measures that the evaluation does not compute by itself, by key of results."""
    values = {
        measure.path[0]: measure.compute(found)
        for measure in MEASURES.values()
        if measure.compute is not None
    }
    return {key: value for key, value in values.items() if value is not None}

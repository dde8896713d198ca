"""The table of all measures, which protocols, result tables and the Compare page read.

To add a measure, add a record with the function that computes it from classified images.
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
    """A measure of a run: its name, how it is shown, and how it is computed."""

    name: str
    """Name in tables and CSV files, such as `calibration error`."""
    unit: str
    """`%`, `s`, or empty for a number from 0 to 1."""
    digits: int
    """Decimals shown."""
    better: int
    """1 if higher is better, -1 if lower is better, 0 if neither is."""
    computed: str
    """One sentence that defines it."""
    section: Section
    """The tables that show it."""
    path: tuple[str, ...] = ()
    """Keys that lead to the value in a run's results on some classes; in section `run`, in the
    results of the whole run."""
    compute: Callable[[RoutedItems], float | None] | None = None
    """Computes the measure from classified images; returns None if it is undefined for them.
    Without this function, `evaluate` computes the measure together with others."""
    always: bool = False
    """Whether the results of every run of this version have it."""
    chosen: bool = False
    """Whether it is of something chosen on validation images, whatever the method."""
    by_half: bool = False
    """Whether it is also reported for the base and the new half, as `calibration error, new`."""

    @property
    def label(self) -> str:
        """The name with a capital letter, for titles."""
        return f"{self.name[0].upper()}{self.name[1:]}"

    def read(self, results: Mapping[str, Any]) -> float | None:
        """Returns the value in a run's results; None if the run has none.

        Args:
            results: the results on some classes; in section `run`, those of the whole run.

        Raises:
            KeyError: if the value is missing although every run should have it.
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
    """Returns the name of a measure that is reported for one half of the classes."""
    return f"{name}, {half}"


_RECORDS = (
    Measure(
        "accuracy", "%", 1, 1, "Share of test images classified correctly.", "accuracy",
        ("accuracy",), always=True,
    ),
    Measure(
        "base", "%", 1, 1, "Accuracy on the base half of the classes, used for training.",
        "accuracy",
    ),
    Measure(
        "new", "%", 1, 1, "Accuracy on the new half of the classes, not used for training.",
        "accuracy",
    ),
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
        "Normalised mutual information of the first chosen expert and the true style.",
        "beyond accuracy", ("style_nmi",), always=True,
    ),
    Measure(
        "routing entropy", "", 3, 0,
        "Mean entropy of the router's softmax over all experts, divided by its maximum.",
        "beyond accuracy", ("routing", "entropy_share"), always=True,
    ),
    Measure(
        "routing load balance", "", 3, 0,
        "Entropy of the experts' mean weights, divided by its maximum.",
        "beyond accuracy", ("routing", "load_balance"), always=True,
    ),
    Measure(
        "guide agreement, first", "%", 1, 0,
        "Share of images for which the router and the label-guided hard prompts have the same "
        "best expert.",
        "beyond accuracy", ("agreement", "first"), always=True,
    ),
    Measure(
        "guide agreement, chosen", "%", 1, 0,
        "Mean share of the chosen experts that the label-guided hard prompts would also choose.",
        "beyond accuracy", ("agreement", "overlap"), always=True,
    ),
    Measure(
        "router", "%", 1, 0, "Accuracy with the trained router.", "routing",
        ("routing_value", "router"),
    ),
    Measure(
        "uniform mixture", "%", 1, 0, "Accuracy with equal weights for all experts.", "routing",
        ("routing_value", "uniform"),
    ),
    Measure(
        "random expert", "%", 1, 0, "Mean accuracy of single experts.", "routing",
        ("routing_value", "random"),
    ),
    Measure(
        "best single expert", "%", 1, 0,
        "Accuracy of the single expert that is best on the validation images.", "routing",
        ("routing_value", "best_single"), chosen=True,
    ),
    Measure(
        "oracle", "%", 1, 0,
        "Share of images that at least one expert classifies correctly: no choice of one is "
        "better.",
        "routing", ("routing_value", "oracle"),
    ),
    Measure(
        "training seconds", "s", 1, -1, "Training time, without the test.", "run",
        ("training_seconds",), always=True,
    ),
)  # fmt: skip
MEASURES = {record.name: record for record in _RECORDS}
"""Name → measure, in the order in which tables show them."""
_OF_HALVES = {
    of_half(record.name, half): replace(record, name=of_half(record.name, half), by_half=False)
    for record in _RECORDS
    if record.by_half
    for half in HALVES
}


def find_measure(name: str) -> Measure:
    """Returns the measure with a name; for an unknown name, one in percent without direction."""
    known = MEASURES.get(name) or _OF_HALVES.get(name)
    return known or Measure(name, "%", 1, 0, "", "beyond accuracy")


def in_section(section: Section) -> tuple[Measure, ...]:
    """Returns the measures of a section, in the order of the table."""
    return tuple(measure for measure in MEASURES.values() if measure.section == section)


def extra_measures(routed_items: RoutedItems) -> dict[str, float]:
    """Returns the measures that have their own function `compute`: key in the results → value."""
    values = {
        measure.path[0]: measure.compute(routed_items)
        for measure in MEASURES.values()
        if measure.compute is not None
    }
    return {key: value for key, value in values.items() if value is not None}

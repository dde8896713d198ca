"""What the commands print: text for people, one JSON document for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def main_accuracy(results: dict[str, Any]) -> float | None:
    """Returns the number that stands for a run: accuracy on all classes, or base and new's HM."""
    if "all" in results:
        return float(results["all"]["accuracy"])
    value = results.get("harmonic_mean")
    return None if value is None else float(value)


def print_results(results: dict[str, Any], details: bool = False) -> None:
    """Prints accuracies, and with `details` those of every style and class."""
    for choice, value in results.items():
        if not isinstance(value, dict):
            continue
        print(f"{choice}: {value['accuracy']:.2f} % of {value['num_images']} test images")
        if value["style_nmi"] is not None:
            print(f"  routing against true style: NMI {value['style_nmi']:.3f}")
        if details:
            for title, table in (("style", "per_style"), ("class", "per_class")):
                for name, accuracy in value[table].items():
                    print(f"  {title} {name:<24} {accuracy:6.1f} %")
    if "harmonic_mean" in results:
        print(f"harmonic mean of base and new: {results['harmonic_mean']:.2f} %")


def print_answers(answers: list[dict[str, Any]], top: int) -> None:
    """Prints label, best probabilities and experts of each image."""
    for answer in answers:
        best = list(answer["probabilities"].items())[:top]
        print(f"{answer['image']}: {answer['label']}")
        print("  " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in best))
        experts = ", ".join(f"{name} {100 * w:.0f} %" for name, w in answer["experts"].items())
        print(f"  experts: {experts}")
        for note in answer["notes"]:
            print(f"  note: {note}")


@contextmanager
def progress_bar(
    show: bool, text: str, unit: str = "image"
) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that moves a bar on the screen, to be called with done and total."""
    from tqdm import tqdm

    bytes_counted = unit == "B"
    with tqdm(
        desc=text, unit=unit, unit_scale=bytes_counted, disable=not show, leave=False
    ) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield progress


def print_json(value: Any) -> None:
    """Prints one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False))

"""Printing for all commands: text for people, or one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mocoop.runs.chosen_lengths import lengths_in_words
from mocoop.runs.chosen_on_test import in_words

MISTAKES = 10  # most frequent confusions that are printed
_BEYOND = {
    "macro_f1": "macro-F1",
    "mean_class_accuracy": "mean per class",
    "top5_accuracy": "top-5",
}
MESSAGE_WIDTH = 60  # characters of a run's message in the list of runs


def main_accuracies(results: dict[str, Any]) -> dict[str, float | None]:
    """Returns a run's test accuracies on all, base and new classes, and HM of base and new.

    None for what a run was not tested on.
    """
    found: dict[str, float | None] = {
        part: float(results[part]["accuracy"]) if part in results else None
        for part in ("all", "base", "new")
    }
    value = results.get("harmonic_mean")
    return found | {"harmonic_mean": None if value is None else float(value)}


def print_results(results: dict[str, Any], details: bool = False, chosen: str = "") -> None:
    """Prints accuracies; with `details` also those of every style and class.

    Args:
        results: by choice of classes.
        details: also by style and class, with the most frequent mistakes.
        chosen: what was chosen on test images, in words.
    """
    for choice, value in results.items():
        if not isinstance(value, dict):
            continue
        untrained = value.get("zero_shot")  # runs of earlier versions do not have it
        zero_shot = "" if untrained is None else f" (zero-shot: {untrained:.2f} %)"
        images = f"{value['num_images']} test images"
        print(f"{choice}: {value['accuracy']:.2f} % of {images}{zero_shot}")
        beyond = [
            f"{name} {value[key]:.2f} %"
            for key, name in _BEYOND.items()
            if value.get(key) is not None
        ]  # runs of earlier versions do not have them
        if beyond:
            print(f"  {', '.join(beyond)}")
        if value.get("style_nmi") is not None:
            print(f"  NMI of first expert and true style: {value['style_nmi']:.3f}")
        if details:
            for title, table in (("style", "per_style"), ("class", "per_class")):
                for name, accuracy in value[table].items():
                    print(f"  {title} {name:<24} {accuracy:6.1f} %")
            _print_mistakes(value.get("confusion", {}))
    if "harmonic_mean" in results:
        print(f"harmonic mean of base and new: {results['harmonic_mean']:.2f} %")
    lengths = lengths_in_words(results)
    if lengths:
        print(lengths)
    if chosen:
        print(f"note: {in_words(chosen)}")


def _print_mistakes(confusion: dict[str, dict[str, int]]) -> None:
    """Prints which classes are most often taken for which."""
    from mocoop.evaluation.class_measures import frequent_mistakes  # here: it imports torch

    for true, predicted, images in frequent_mistakes(confusion, MISTAKES):
        print(f"  mistake {true} → {predicted}: {counted(images, 'image')}")


def print_answers(answers: list[dict[str, Any]], top: int) -> None:
    """Prints the label, the `top` highest probabilities and the experts of each image."""
    for answer in answers:
        best = list(answer["probabilities"].items())[:top]
        print(f"{answer['image']}: {answer['label']}")
        print("  " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in best))
        experts = ", ".join(f"{name} {100 * w:.0f} %" for name, w in answer["experts"].items())
        print(f"  experts: {experts}")
        for note in answer["notes"]:
            print(f"  note: {note}")


def print_runs(rows: list[dict[str, Any]]) -> None:
    """Prints a heading and one line per run. `mocoop runs --json` shows messages in full."""
    width = max(len("run"), *(len(row["run"]) for row in rows))
    shown = {"all": "all", "base": "base", "new": "new", "harmonic_mean": "HM"}
    heads = "  ".join(f"{name:>6}" for name in shown.values())
    print(f"{'run':<{width}}  {'state':<11}  {'epochs':>7}  {heads}  message")
    for row in rows:
        numbers = "  ".join(
            f"{'' if row[key] is None else f'{row[key]:.1f} %':>6}" for key in shown
        )
        epochs = f"{row['epoch']}/{row['epochs']}"
        message = shorten(" ".join(row["message"].split()), MESSAGE_WIDTH)
        line = f"{row['run']:<{width}}  {row['state']:<11}  {epochs:>7}  {numbers}  {message}"
        print(line.rstrip())


def shorten(text: str, width: int) -> str:
    """Returns a text of at most `width` characters; a longer one is cut and ends with …."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def counted(number: int, word: str) -> str:
    """Returns a number with its noun, in the plural where needed: `1 image`, `2 images`."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def size_text(number: int) -> str:
    """Returns a readable number of bytes: `43 kB`, `1.2 MB`."""
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{max(1, round(number / 1e3))} kB"


@contextmanager
def progress_bar(
    show: bool, text: str, unit: str = "image"
) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that updates a progress bar; call it with (done, total).

    The bar appears at the first call, so there is none if there is nothing to do. It disappears
    when `done` equals `total`. A later call shows a new bar.
    """
    from tqdm import tqdm

    bar: tqdm | None = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(
                desc=text,
                total=total or None,
                unit=unit,
                unit_scale=unit == "B",
                disable=not show,
                leave=False,
            )
        bar.total = total or None
        bar.update(done - bar.n)
        if done == total:
            bar.close()
            bar = None

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()


def print_json(value: Any) -> None:
    """Prints one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False))

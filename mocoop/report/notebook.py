"""A Jupyter notebook that opens a run, tests it, and shows its routing; it runs as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.markdown import literal
from mocoop.report.facts import code_version, facts
from mocoop.runs.export_zip import archive_name
from mocoop.runs.run import Run

NOT_HERE = "The data or the CLIP of this run are not here"
_OPEN = """import mocoop
from mocoop.classifiers.saved import check_same_data
from mocoop.report.facts import facts, settings
from mocoop.report.opened import open_here

run = open_here(NAME)
known = facts(run)
config = known.setup.config
try:
    dataset, classifier = mocoop.load_dataset(config.data), mocoop.load_classifier(run)
    check_same_data(run, known.setup, dataset, classifier.encoder.backbone)
    print(f"{known.title}: the run, its data and its CLIP are here.")
except mocoop.UserError as error:
    dataset = None
    print(f"NOT_HERE: {error}")
    print("The cells below show what the run's files hold; those that need images do nothing.")"""
_SETTINGS = """for name, value in settings(known):
    print(f"{name}: {value}")"""
_SAVED = """for found in known.accuracies:
    low, high = found.interval.low, found.interval.high
    print(f"{found.part}: {found.value:.2f} % [{low:.1f}, {high:.1f}] of {found.images} images")
    if found.zero_shot is not None:
        print(f"  zero-shot: {found.zero_shot:.2f} %, gain {found.gain:+.2f} points")
    usage = known.results[found.part].get("expert_usage") or {}
    if len(usage) > 1:
        print("  mean weights:", ", ".join(f"{k} {100 * v:.0f} %" for k, v in usage.items()))
if "harmonic_mean" in known.results:
    print(f"harmonic mean of base and new: {known.results['harmonic_mean']:.2f} %")"""
_CURVES = """import matplotlib.pyplot as plt

if len(known.records) > 1:
    figure, axis = plt.subplots(figsize=(7, 3.5))
    for key, name in (("train_accuracy", "training"), ("val_accuracy", "validation")):
        points = [(r["epoch"], r[key]) for r in known.records if r.get(key) is not None]
        if points:
            axis.plot(*zip(*points), label=f"{name} images")
    axis.set(xlabel="epoch", ylabel="right, %")
    axis.legend()
    plt.show()
else:
    print("This method does not learn epoch by epoch, so there is no curve.")"""
_TEST = """from mocoop.evaluation.paired import wilson_interval

if dataset is not None:
    for found in known.accuracies:
        now = mocoop.evaluate(run, found.part)
        interval = wilson_interval(round(now.accuracy * now.num_images / 100), now.num_images)
        print(
            f"{found.part}: {now.accuracy:.2f} % [{interval.low:.1f}, {interval.high:.1f}] now, "
            f"{found.value:.2f} % in the run's files"
        )"""
_ROUTING = """if dataset is not None:
    labels = range(known.setup.trained_classes)
    items = dataset.items("test", labels)
    items = items[:: max(1, len(items) // 8)][:8]
    images = [dataset.image(item) for item in items]
    features = classifier.encoder.pictures(images)
    routed = classifier.classifier.subset(labels).classify(features)
    figure, axes = plt.subplots(2, 4, figsize=(12, 7.5))
    for axis in axes.flat:
        axis.set_axis_off()
    for index, (axis, image, item) in enumerate(zip(axes.flat, images, items)):
        label = routed.class_names[int(routed.probabilities[index].argmax())]
        truth = known.setup.class_names[item.label]
        lines = [label if label == truth else f"{label} (true: {truth})"]
        if len(routed.experts) > 1:
            lines += [f"{name} {100 * weight:.0f} %" for name, weight in routed.chosen(index)]
        axis.imshow(image)
        axis.set_title("\\n".join(lines), fontsize=9, parse_math=False)
    plt.show()"""
_OWN = """PICTURES = []  # paths of pictures of your own, such as ["photo.jpg"]

if PICTURES and dataset is not None:
    routed = classifier.predict(PICTURES)
    for index, path in enumerate(PICTURES):
        best = int(routed.probabilities[index].argmax())
        chance = 100 * float(routed.probabilities[index, best])
        print(f"{path}: {routed.class_names[best]} {chance:.1f} %", dict(routed.chosen(index)))"""


def notebook_of(run: Run) -> str:
    """Returns the notebook of a finished run, as the text of an .ipynb file (nbformat 4.5).

    Raises:
        UserError: for a run that is not finished, was deleted, or is damaged.
    """
    known = facts(run)
    name = archive_name(run)
    shown = literal(known.title)
    missing = _why_missing(known.setup.config.data)
    notes = [
        f"**{NOT_HERE}** (when this notebook was made): {literal(missing)} The notebook still "
        "shows what the run's files hold."
    ] if missing else []  # fmt: skip
    cells = [
        _text(
            f"# {shown}",
            *notes,
            f"A notebook of the run `{name}`, made with {code_version()}. It needs the package: "
            "`pip install .` in a checkout of MoCoOp, and Jupyter.",
            f"Put `{name}.zip` (*Export as zip* on the page Compare, or `mocoop pack`) into this "
            "notebook's folder. If the run is among the runs of this machine, it is found there.",
        ),
        _code(f"NAME = {run.name!r}"),
        _code(_OPEN.replace("NOT_HERE", NOT_HERE)),
        _text("## Settings"),
        _code(_SETTINGS),
        _text("## What the run's files say", "In brackets: Wilson's 95 % interval."),
        _code(_SAVED),
        _code(_CURVES),
        _text("## The test, once more", "The same test images, classified now."),
        _code(_TEST),
        _text("## Routing of some test images", "Above each: the prediction, and the experts."),
        _code(_ROUTING),
        _text("## Pictures of your own"),
        _code(_OWN),
    ]
    return json.dumps(_document(cells), indent=1, ensure_ascii=False) + "\n"


def _why_missing(data: str) -> str:
    """Returns why a data set cannot be opened here; empty if it can."""
    try:
        load_dataset(data)
    except UserError as error:
        return str(error)
    return ""


def _document(cells: Sequence[dict]) -> dict:
    """Returns a notebook with numbered cells."""
    return {
        "cells": [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _text(*paragraphs: str) -> dict:
    source = "\n\n".join(paragraphs).splitlines(keepends=True)
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str) -> dict:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }

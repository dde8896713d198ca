"""The page of results: all tables from all tasks, whatever the numbers."""

from __future__ import annotations

import re

import pytest

from mocoop.datasets import BUILTIN
from mocoop.methods import METHODS
from mocoop.results.page import CURVES_ON, LAYER_NORMS_ON, PARTS_ON, all_tasks, page, tables_of
from mocoop.results.rows import Row


def rows_of(task, number):
    """Returns made-up rows of a task, of the measures that it really has."""
    data, base = task.config.data, task.config.classes == "base"
    measures = [(data, "base"), (data, "new")] if base else [(data, "accuracy")]
    if task.protocol == "domain-generalization":
        measures.append(("sketch", "accuracy"))
    measures += [(target, "accuracy") for target in task.targets]
    if task.protocol == "few-shot":
        names = ["calibration error"]
        names += ["style NMI", "router", "oracle"] if task.label[:6] == "mocoop" else []
        measures += [(data, name) for name in names]
    if base and task.label == "linear-probe":
        measures = measures[:1]
    measures += [(data, "HM")] if base and task.label != "linear-probe" else []
    return [
        Row(task.protocol, data, target, task.label, task.shots, seed, measure, number % 97 + seed)
        for target, measure in measures
        for seed in task.seeds
    ]


@pytest.mark.long
def test_page_has_every_section_and_method():
    tasks = all_tasks((1, 2))
    rows = [row for number, task in enumerate(tasks) for row in rows_of(task, number)]
    text = page(rows, [])
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    first = ["Few-shot", "Base-to-new", "Do the parts add to each other?"]
    first += ["Domain generalisation", "Cross-data-set"]
    then = ["Beyond accuracy", "Does routing matter?", "Ablation", "What a training costs"]
    assert titles == [*first, *then, "What a context can change here", "Every seed"]
    for method in ("zero-shot", "linear-probe", "tip-adapter-f", "cocoop", "mocoop-ln"):
        assert f"| {method} |" in text
    assert "not available" in text
    assert "RESULTS.csv" in text
    widths = {}
    for line in text.splitlines():
        if not line.startswith("|"):
            widths = {}
        else:
            widths.setdefault("columns", line.count("|"))
            assert line.count("|") == widths["columns"]


def test_all_tasks_cover_every_protocol_and_set():
    tasks = all_tasks()
    for protocol in ("few-shot", "base-to-new"):
        for method in ("mocoop", "cocoop", "promptsrc", "clip-lora", "mocoop-v", "mocoop-cond"):
            own = {t.config.data for t in tasks if (t.protocol, t.label) == (protocol, method)}
            assert own == set(BUILTIN)
    layer_norms = {t.config.data for t in tasks if t.config.tune_layer_norms}
    assert layer_norms == set(LAYER_NORMS_ON)
    assert {t.config.data for t in tasks if t.protocol == "ablation"} == set(PARTS_ON)
    for data in CURVES_ON:
        own = [t for t in tasks if t.protocol == "few-shot" and t.config.data == data]
        assert {t.shots for t in own if t.label == "lasp"} == {1, 2, 4, 8, 16}
    assert {t.config.method for t in tasks} == set(METHODS)
    once = [t for t in tasks if not METHODS[t.config.method].needs_images]
    assert all(t.seeds == (1, 2, 3) and t.shots == 0 for t in once)


def test_tables_of_one_protocol():
    rows = [row for task in all_tasks((1,)) for row in rows_of(task, 1)]
    assert len(tables_of(rows, "base-to-new")) == 1 + len(BUILTIN)
    assert [table.title.split(", acc")[0] for table in tables_of(rows, "ablation")] == [
        "Ablation",
        "Ablation of mocoop-v",
        "Ablation of mocoop-cond",
    ]
    assert len(tables_of(rows, "cross-dataset")) == 1

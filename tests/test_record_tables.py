"""The records of methods and measures: whole, drawn in the documents, known nowhere else."""

from __future__ import annotations

import ast
import csv
import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from mocoop.config import TrainConfig
from mocoop.evaluation.measure_table import MEASURES, find_measure
from mocoop.methods import MENU, METHODS, find_method

ROOT = Path(__file__).parents[1]
CODE = sorted(path for part in ("mocoop", "app", "pages") for path in (ROOT / part).rglob("*.py"))


@pytest.fixture(scope="module")
def drawn():
    """The command that draws the documents' tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        return importlib.import_module("record_tables")


def names_compared(path, names):
    """Returns the names that a file compares something with, or looks up in a table of its own."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = node.args if node.func.attr in ("startswith", "endswith") else []
        else:
            continue
        for part in parts:
            found |= {n.value for n in ast.walk(part) if isinstance(n, ast.Constant)} & names
    return found


def test_documents_show_the_records_and_results_of_today(drawn):
    """`python docs/record_tables.py --write` was run after the last change of a record."""
    assert {"methods", "published", "all methods", "base-to-new"} <= set(drawn.TABLES)
    for name, (document, _) in drawn.TABLES.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        assert drawn.with_table(text, name) == text, name


def test_a_document_without_marks_is_told(drawn):
    with pytest.raises(ValueError, match="needs the lines <!-- methods: python docs"):
        drawn.with_table("# Methods\n", "methods")


def test_the_readme_names_methods_by_their_keys():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z-]+) \| (?:\**\d)", text, re.MULTILINE)
    assert len(rows) >= 8
    assert set(rows) <= set(METHODS)


@pytest.mark.parametrize("key", METHODS)
def test_records_are_whole(key):
    """A method has words, a colour, a paper, known settings, and a recipe if it has any choice."""
    method = METHODS[key]
    assert method.key == key == find_method(key).key
    assert method.summary.endswith(".")
    assert method.use.endswith(".")
    assert re.fullmatch(r"#[0-9a-f]{6}", method.colour)
    assert method.paper is not None
    assert re.fullmatch(r"\d{4}\.\d{5}", method.paper.arxiv)
    settings = {**method.settings, **method.demo, **method.published.settings}
    assert set(settings) <= {field.name for field in dataclasses.fields(TrainConfig)}
    assert bool(method.published.settings) == bool(method.published.source)
    assert bool(method.published.settings) == (method.learns_in_epochs or bool(method.chooses))
    assert method.fits_image_features == (method.seconds_per_image > 0)
    if not method.learns_in_epochs:
        assert settings["epochs"] == 0


def test_keys_and_labels_are_unique():
    assert list(METHODS) == [method.key for method in METHODS.values()]
    assert len({method.label for method in METHODS.values()}) == len(METHODS)
    assert set(MENU) == set(METHODS)


def test_results_know_their_measures():
    """Every measure in RESULTS.csv has a record; another one is shown plainly."""
    with (ROOT / "RESULTS.csv").open(encoding="utf-8") as file:
        names = {row["measure"] for row in csv.DictReader(file)}
    assert {"accuracy", "HM", "calibration error, new"} <= names
    assert all(find_measure(name).computed for name in names)
    other = find_measure("largest load")
    assert (other.digits, other.better, other.label) == (1, 0, "Largest load")


def test_less_calibration_error_is_better_on_either_half():
    for name in ("calibration error", "calibration error, base", "calibration error, new"):
        assert find_measure(name).better == -1


@pytest.mark.parametrize(
    ("results", "value"),
    [
        ({"calibration_error": 3.0, "routing": {"entropy_share": 0.0}}, 0.0),
        ({"calibration_error": 3.0, "routing": {}}, None),
    ],
)
def test_a_measure_is_read_from_results(results, value):
    assert find_measure("calibration error").read(results) == 3.0
    assert find_measure("routing entropy").read(results) == value
    assert find_measure("oracle").read(results) is None
    with pytest.raises(KeyError):  # runs of earlier versions do not have it
        find_measure("style NMI").read(results)


def test_code_asks_records_and_compares_no_names():
    """What a method or a measure needs is a property of its record, not a branch on its name."""
    names = set(METHODS) | {m for m in MEASURES if " " in m}
    known = {
        ROOT / "mocoop" / "runs" / "export_zip.py",  # the package's own name in a card
        ROOT / "app" / "ui" / "words.py",  # terms that pages explain
    }
    wrong = {path: found for path in CODE if (found := names_compared(path, names))}
    assert set(wrong) <= known, wrong


def test_the_rule_sees_what_it_forbids(tmp_path):
    path = tmp_path / "bad.py"
    compared = 'm == "coop" or m in ("lasp",) or m.startswith("cocoop")'
    path.write_text(f'def f(m):\n    return {compared}, {{"kgcoop": 1}}\n')
    assert names_compared(path, set(METHODS)) == {"coop", "lasp", "cocoop", "kgcoop"}

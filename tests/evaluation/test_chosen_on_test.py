"""Where validation images are the test images, all that was chosen on them is marked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mocoop.api import preset
from mocoop.cli.main import main
from mocoop.datasets import BUILTIN, load_dataset
from mocoop.methods import METHODS
from mocoop.results.every_seed import every_seed
from mocoop.results.gather import gather
from mocoop.results.markup import to_latex, to_markdown
from mocoop.results.rows import Row
from mocoop.results.tables import few_shot_tables, from_csv, measure_table, to_csv
from mocoop.runs.chosen_on_test import KEY, chosen_on_test
from mocoop.runs.model_card import model_card
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support.benchmark_files import add_coop, add_imagenet
from tests.support.result_example import labels, rows_of

CHOSEN = {"zero-shot": "", "linear-probe": "C", "tip-adapter": "α and β"}
NOTE = "†: chosen on validation images that are the test images (imagenet)"


@pytest.fixture(scope="module")
def root(tmp_path_factory, workspace):
    """A data root with a small ImageNet."""
    folder = tmp_path_factory.mktemp("data")
    add_imagenet(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_DATA", str(folder))
        yield folder


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """A run of each method on it."""
    folder = tmp_path_factory.mktemp("chosen")
    for method in CHOSEN:
        for _ in run_experiment(preset(method, data="imagenet", shots=2), folder / method):
            pass
    return {method: Run(folder / method) for method in CHOSEN}


def marked_rows():
    """Returns Tip-Adapter and CoOp on ImageNet and on faces, two seeds."""
    rows = [
        row
        for data in ("imagenet", "faces")
        for method in ("coop", "tip-adapter")
        for row in rows_of("few-shot", data, method, [60.0, 62.0])
    ]
    return [
        replace(row, chosen_on_test=(row.data, row.method) == ("imagenet", "tip-adapter"))
        for row in rows
    ]


def test_which_sets_have_the_same_images_twice(root):
    assert load_dataset("imagenet").val_is_test
    add_coop(root, "dtd")
    assert not load_dataset("dtd").val_is_test
    assert not any(load_dataset(name).val_is_test for name in BUILTIN)


def test_a_split_file_of_ones_own_with_the_same_images_twice(tmp_path):
    """One image that is in both is enough."""
    data = load_dataset("digits")
    shared = replace(data, splits=data.splits | {"val": data.items("test")[-1:]})
    assert shared.val_is_test


def test_every_method_that_needs_validation_images_says_what_for():
    choosing = {key for key, method in METHODS.items() if method.chooses}
    assert choosing == {"linear-probe", "tip-adapter", "tip-adapter-f", "lp++", "dpl"}
    assert {key for key, method in METHODS.items() if method.needs_validation} <= choosing


def test_results_say_it_and_those_of_before_are_known_by_the_set(runs):
    for method, words in CHOSEN.items():
        config, results = runs[method].setup().config, runs[method].results()
        assert results[KEY] is True
        assert chosen_on_test(config, results) == words
        before = {key: value for key, value in results.items() if key != KEY}
        assert chosen_on_test(config, before) == words
        assert chosen_on_test(replace(config, data="dtd"), before) == ""


def test_rows_and_tables_of_runs_are_marked(runs):
    rows = gather(list(runs.values())).rows
    found = {row.method for row in rows if row.chosen_on_test}
    assert found == {"linear-probe", "tip-adapter"}
    assert not any(row.chosen_on_test for row in rows if row.measure == "training seconds")
    (table,) = few_shot_tables(rows)
    assert set(labels(table)) == {"zero-shot", "linear-probe †", "tip-adapter †"}
    assert NOTE in table.notes
    assert NOTE in every_seed(rows, "accuracy").notes
    assert "tip-adapter †" in to_markdown(measure_table(rows, "macro-F1"))


def test_only_tables_with_such_numbers_have_the_mark():
    average, imagenet, faces = few_shot_tables(marked_rows())
    for table in (average, imagenet):
        assert labels(table) == ["coop", "tip-adapter †"]
        assert NOTE in to_markdown(table)
        assert r"tip-adapter $\dagger$" in to_latex(table)
    assert labels(faces) == ["coop", "tip-adapter"]
    assert "†" not in to_markdown(faces)
    assert faces.blocks[0].lines[1].cells[0].mean == 61.0


def test_csv_keeps_the_mark_and_reads_files_of_before():
    rows = marked_rows()
    assert from_csv(to_csv(rows)) == tuple(rows)
    old = "protocol,data,target,method,shots,seed,measure,value\n"
    old += "few-shot,faces,faces,coop,16,1,accuracy,60.0\n"
    expected = Row("few-shot", "faces", "faces", "coop", 16, 1, "accuracy", 60.0)
    assert from_csv(old) == (expected,)


def test_the_command_and_the_model_card_say_it(runs, capsys):
    for method, words in CHOSEN.items():
        said = f"{words} {'were' if ' and ' in words else 'was'} chosen on validation images"
        assert main(["evaluate", str(runs[method].path)]) == 0
        assert (said in capsys.readouterr().out) == bool(words)
        for more in ((), ("--data", "imagenet")):
            assert main(["evaluate", str(runs[method].path), "--json", *more]) == 0
            assert json.loads(capsys.readouterr().out)["chosen_on_test"] == (words or None)
        assert (said in model_card(runs[method], "a-run")) == bool(words)

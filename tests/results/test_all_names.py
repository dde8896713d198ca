"""Methods whose text loss saw the names of new classes are marked in every table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.compare.tables import _trained_on
from mocoop.methods import METHODS
from mocoop.presets import names_all_classes, preset
from mocoop.results.every_seed import every_seed
from mocoop.results.markup import to_latex, to_markdown
from mocoop.results.means import means_csv
from mocoop.results.published import base_to_new_block
from mocoop.results.rows import Row, from_csv, to_csv
from mocoop.results.tables import base_to_new_tables, few_shot_tables, measure_table
from mocoop.runs.model_card import _names_in_text_loss

ROOT = Path(__file__).parents[2]
SAW = {"lasp-v", "lasp-v-ln", "mocoop-all", "mocoop-all-ln"}


def rows_of(methods, protocol="base-to-new", measures=("base", "new", "HM")):
    return [
        Row(protocol, "details", "details", method, 16, 1, measure, 50.0,
            all_names=protocol == "base-to-new" and method in SAW)
        for method in methods
        for measure in measures
    ]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_who_saw_all_names(method):
    config = replace(preset(method), classes="base")
    assert names_all_classes(config) == (method in SAW)
    assert _trained_on(config) == "base classes" + (", all names" if method in SAW else "")
    assert not names_all_classes(replace(config, classes="all"))


def test_a_model_card_says_it_where_it_matters():
    words = {"lasp": "trained classes only", "mocoop-all": "all classes"}
    for method, shown in words.items():
        config = replace(preset(method), classes="base")
        assert _names_in_text_loss(config) == [("Names in the text loss", shown)]
        assert _names_in_text_loss(replace(config, classes="all")) == []
    assert _names_in_text_loss(replace(preset("coop"), classes="base")) == []


def test_the_recipes_differ_in_the_names_alone():
    for one, other in (("mocoop", "mocoop-all"), ("mocoop-ln", "mocoop-all-ln"),
                       ("lasp", "lasp-v"), ("lasp-ln", "lasp-v-ln")):  # fmt: skip
        for backbone in ("demo", "ViT-B-16-quickgelu/openai"):
            seen, every = preset(one, backbone), preset(other, backbone)
            assert (seen.text_classes, every.text_classes) == ("seen", "all")
            assert replace(every, method=one, text_classes="seen") == seen


def labels(table):
    return [line.labels[0] for line in table.blocks[0].lines]


def test_base_to_new_says_it_for_each_method():
    table, *_ = base_to_new_tables(rows_of(["lasp", "lasp-v", "mocoop", "mocoop-all"]))
    assert labels(table) == ["lasp", "lasp-v ‡", "mocoop", "mocoop-all ‡"]
    assert "‡: the text loss also saw the names of the new classes" in table.notes
    assert "lasp-v ‡" in to_markdown(table)
    assert r"lasp-v $\ddagger$" in to_latex(table)
    none, *_ = base_to_new_tables(rows_of(["lasp", "mocoop"]))
    assert "No text loss saw the names of the new classes." in none.notes
    assert "LASP-V ‡" in {line.labels[0] for line in base_to_new_block().lines}


def test_other_tables_of_the_protocol_say_it_too():
    rows = rows_of(["lasp", "lasp-v"])
    for table in (measure_table(rows, "HM"), every_seed(rows, "HM")):
        assert labels(table) == ["lasp", "lasp-v ‡"]
        assert "‡: the text loss" in table.notes


def test_where_all_classes_are_trained_there_is_nothing_to_say():
    table, *_ = few_shot_tables(rows_of(["lasp", "lasp-v"], "few-shot", ("accuracy",)))
    assert labels(table) == ["lasp", "lasp-v"]
    assert "names" not in table.notes


def test_both_marks_stand_side_by_side():
    rows = [replace(row, chosen_on_test=True) for row in rows_of(["lasp-v"])]
    table, *_ = base_to_new_tables(rows)
    assert labels(table) == ["lasp-v † ‡"]


def test_files_keep_it_and_older_ones_take_it_from_the_preset():
    rows = rows_of(["lasp", "lasp-v, text_classes seen", "mocoop-all"])
    assert [row.all_names for row in from_csv(to_csv(rows))] == [row.all_names for row in rows]
    assert means_csv(rows).splitlines()[-1].endswith(",0,1")
    for cut in (1, 2):  # columns that earlier versions did not write
        older = "\n".join(",".join(line.split(",")[:-cut]) for line in
                          to_csv(rows_of(["lasp", "lasp-v"])).splitlines())  # fmt: skip
        assert [row.all_names for row in from_csv(older)] == [False] * 3 + [True] * 3


def test_the_shipped_results_are_marked():
    rows = from_csv((ROOT / "RESULTS.csv").read_text(encoding="utf-8"))
    half = {row.method for row in rows if row.protocol == "base-to-new" and row.all_names}
    assert half == {"lasp-v", "lasp-v-ln", "mocoop-all", "mocoop-all-ln"}
